"""A command that takes every setting as a flag."""

from __future__ import annotations

from typing import Any

import click

from supersoniq.cli.settings.naming import Setting, declared

__all__ = ["SettingFlag", "flags"]


class SettingFlag(click.Option):
    """A flag for a setting. Its value is checked by the model, as it is from any other place."""

    section = ""

    @classmethod
    def of(cls, setting: Setting, *, file: bool = False) -> SettingFlag:
        """The flag of a setting, or of the file that holds it."""
        flag = "--" + setting.name.replace("_", "-")
        name = setting.name
        more: dict[str, Any] = {"metavar": setting.metavar, "help": setting.help}
        if file:
            flag, name = f"{flag}-file", f"{name}_file"
            more = {"metavar": "FILE", "help": "The same, from a file that holds it."}
            if not setting.told.flag:
                more["help"] = f"{setting.help} Here: the file that holds it."
        elif setting.switch:
            flag = f"{flag}/--no-{flag.removeprefix('--')}"
            more = {"help": setting.help, "is_flag": True}
        if more.get("metavar") == "FILE":
            more["type"] = click.Path()
        if not file:
            more["help"] += _default(setting.default)
        short = ["-b"] if name == "backend" else []
        made = cls([*short, flag, name], default=None, **more)
        made.section = setting.path[0] if setting.section else ""
        return made


def _default(value: object) -> str:
    if value is None or value is False or value in ("", ()):
        return ""
    if value is True:
        return "  [default: on]"
    return f"  [default: {value:g}]" if isinstance(value, float) else f"  [default: {value}]"


def flags() -> list[click.Parameter]:
    """A flag for each setting that has one, in their order."""
    found: list[click.Parameter] = []
    for setting in declared().values():
        if setting.told.flag:
            found.append(SettingFlag.of(setting))
        if setting.told.file:
            found.append(SettingFlag.of(setting, file=True))
    return found
