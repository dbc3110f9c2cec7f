"""The settings on paper: those in force, an example of the file, and their page in the docs."""

from __future__ import annotations

import inspect
import json
import textwrap
from itertools import groupby
from typing import Any

from supersoniq.cli.settings.load import Found
from supersoniq.cli.settings.naming import Setting, declared, shown

__all__ = ["example", "page_tables", "rows"]

SAMPLES: dict[str, Any] = {
    "tls.certfile": "/etc/supersoniq/chain.pem",
    "tls.keyfile": "/etc/supersoniq/key.pem",
    "auth.public_key": "/etc/supersoniq/queue.pem",
    "auth.secret_file": "/run/secrets/queue.key",
    "auth.jwks": "https://login.example.com/.well-known/jwks.json",
    "auth.issuer": "https://login.example.com",
    "auth.audience": "queue",
    "auth.required": True,
    "backend_file": "/run/secrets/backend",
    "tls.http3": True,
    "limits.max_connections": 10_000,
    "limits.head_timeout": 10.0,
    "limits.idle_timeout": 60.0,
    "limits.max_queues": 10_000,
    "limits.max_open": 20,
    "limits.max_rate": 100.0,
    "limits.max_burst": 200.0,
    "limits.max_throughput": 10e6,
}
"""What a file might say where there is no default."""


def rows(found: Found) -> list[dict[str, Any]]:
    """Each setting, its value and its place, as plain data."""
    return [
        {"setting": setting.dotted, "value": _plain(shown(setting, value)), "from": place}
        for setting, value, place in found.items()
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def example() -> str:
    """A ``supersoniq.toml`` with every setting: as comments, but for the store."""
    lines = ["# Settings of 'supersoniq serve'. Flags and SUPERSONIQ_* variables come before them."]
    for section, group in groupby(declared().values(), lambda each: each.section):
        settings = list(group)
        if section is not None:
            lines += ["", f"[{settings[0].path[0]}]", *_comment(inspect.getdoc(section) or "")]
        for setting in settings:
            lines += _entry(setting)
    return "\n".join(lines) + "\n"


def _entry(setting: Setting) -> list[str]:
    key = setting.path[-1]
    lines = ["", *_comment(setting.help)]
    if not setting.hidden:
        value = SAMPLES.get(setting.dotted, setting.default)
        mark = "" if setting.section is None else "# "
        lines.append(f"{mark}{key} = {json.dumps(value)}")  # for our values TOML is as JSON
    if setting.told.file:
        lines.append(f"# {key}_file = {json.dumps(SAMPLES[setting.dotted + '_file'])}")
    return lines


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")


def page_tables() -> str:
    """The tables of ``docs/settings.md``."""
    parts: list[str] = []
    for section, group in groupby(declared().values(), lambda each: each.section):
        settings = list(group)
        if section is not None:
            parts.append(f"## [{settings[0].path[0]}]\n\n{inspect.getdoc(section)}\n")
        parts.append("| in the file | flag | variable | default | |\n|---|---|---|---|---|")
        parts += [_row(setting) for setting in settings]
        parts.append("")
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    default = "" if setting.default in (None, "", ()) else f"`{json.dumps(setting.default)}`"
    files = f"{setting.path[-1]}_file", f"--{setting.name.replace('_', '-')}-file"
    key, flag, variable = setting.path[-1], setting.flag, setting.variable
    if setting.switch and flag:
        flag = f"{flag}`, `--no-{flag.removeprefix('--')}"
    names: list[str | None] = [key, flag, variable]
    if setting.told.file:
        twins = (*files, f"{variable}_FILE")
        names = [
            twin if name is None else f"{name}`, `{twin}"
            for name, twin in zip(names, twins, strict=True)
        ]
    cells = [f"`{name}`" if name else "" for name in names]
    return f"| {' | '.join(cells)} | {default} | {setting.help.replace('|', '/')} |"
