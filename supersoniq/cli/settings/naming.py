"""What a setting is called: ``auth.public_key`` in the file, ``--auth-public-key`` as a flag,
``SUPERSONIQ_AUTH_PUBLIC_KEY`` as a variable.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from supersoniq.cli.output import without_password
from supersoniq.cli.settings.model import Section, Settings, Told

__all__ = ["PREFIX", "Setting", "declared", "flat", "shown"]

PREFIX = "SUPERSONIQ_"
METAVARS: dict[Any, str] = {int: "NUMBER", float: "NUMBER", str: "TEXT"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One of them."""

    section: type[Section] | None
    path: tuple[str, ...]
    """Section and field; for those that stand above the sections, the field."""
    field: FieldInfo
    told: Told

    @property
    def dotted(self) -> str:
        """Its name in the file, and in what is said of it."""
        return ".".join(self.path)

    @property
    def name(self) -> str:
        """Its name as a flag and as a variable, before it is dressed as one."""
        return self.told.name or (self.section.prefix if self.section else "") + self.path[-1]

    @property
    def flag(self) -> str | None:
        """Its flag, if it has one."""
        return "--" + self.name.replace("_", "-") if self.told.flag else None

    @property
    def variable(self) -> str:
        """Its variable."""
        return PREFIX + self.name.upper()

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types it may have."""
        kind = self.field.annotation
        if get_origin(kind) is Literal:
            return (str,)
        return tuple(each for each in get_args(kind) if each is not type(None)) or (kind,)

    @property
    def switch(self) -> bool:
        """Whether it is a yes or no."""
        return bool in self.kinds

    @property
    def hidden(self) -> bool:
        """Whether its value is never shown."""
        return SecretStr in self.kinds

    @property
    def metavar(self) -> str:
        """What stands for its value."""
        if self.told.metavar:
            return self.told.metavar
        if get_origin(self.field.annotation) is Literal:
            return "|".join(get_args(self.field.annotation))
        if self.switch:
            return "true|false"
        return next((METAVARS[kind] for kind in self.kinds if kind in METAVARS), "FILE")

    @property
    def help(self) -> str:
        """What it is, on one line."""
        return " ".join((self.field.description or "").split())

    @property
    def default(self) -> Any:
        """Its value where nobody gives one."""
        return self.field.default


@functools.cache
def declared() -> dict[str, Setting]:
    """All settings by their dotted names, as declared."""
    found: list[Setting] = []
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found += [
                Setting(kind, (name, inner), about, _told(about))
                for inner, about in kind.model_fields.items()
            ]
        else:
            found.append(Setting(None, (name,), field, _told(field)))
    return {setting.dotted: setting for setting in found}


def _told(field: FieldInfo) -> Told:
    return next((each for each in field.metadata if isinstance(each, Told)), Told())


@functools.cache
def flat() -> dict[str, Setting]:
    """All settings by their names as flags and variables."""
    found = {setting.name: setting for setting in declared().values()}
    assert len(found) == len(declared()), "two settings have one name"
    return found


def shown(setting: Setting, value: object) -> object:
    """A value as it may be shown."""
    if setting.hidden and value is not None:
        return "(hidden)"
    return without_password(value) if isinstance(value, str) else value
