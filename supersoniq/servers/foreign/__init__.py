"""Servers that others have made; docs/servers.md says what each of them carries."""
