"""Stores. Each is found by its URL scheme through the entry-point group ``supersoniq.backends``."""
