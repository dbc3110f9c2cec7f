"""Flags over ``SUPERSONIQ_*`` variables over ``supersoniq.toml`` over defaults.

Each of these places becomes the same tree of sections, in which every leaf knows where it was
found; pydantic-settings merges the trees, and the model checks the outcome. What is wrong is told
with the setting's name, its value and that place.

Whatever is unknown is refused, in the file and among the variables alike: a slip of the pen must
not open a server. Passed over are variables that other programs put there: Kubernetes for a service
that is called ``supersoniq``, and ``supersoniq consume --exec`` for its command.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from supersoniq.cli.files import held, read_settings
from supersoniq.cli.output import without_password
from supersoniq.cli.settings.model import Settings
from supersoniq.cli.settings.naming import PREFIX, Setting, declared, flat, shown
from supersoniq.core.errors import InvalidSetting

__all__ = ["Found", "load"]

NOT_OURS = re.compile(
    r"CONFIG|TOKEN|TEST_.*"
    r"|ID|QUEUE|PRIORITY|ATTEMPT|CONTENT_TYPE|SENDER|RECIPIENT|KEY|HEADERS"  # cli/execute.py
    r"|SERVICE_(HOST|PORT(_.*)?)|PORT_\d+_(TCP|UDP)(_.*)?"  # Kubernetes
)
TELLING = re.compile(r"secret|password|token|key|credential")
"""In a name that is unknown: its value is likely to be secret."""
LONGEST_SHOWN = 200


class Value(NamedTuple):
    """A value, and where it was found."""

    value: Any
    place: str


class Found(NamedTuple):
    """Settings, and where each was found."""

    settings: Settings
    places: Mapping[str, str]
    """In words, by dotted name; what is not here has its default."""

    def place(self, name: str) -> str:
        """Where that one was found."""
        return self.places.get(name, "default")

    def items(self) -> Iterator[tuple[Setting, Any, str]]:
        """Each setting, its value, its place."""
        for name, setting in declared().items():
            value: Any = self.settings
            for part in setting.path:
                value = getattr(value, part)
            yield setting, value, self.place(name)

    def placed(self, error: InvalidSetting) -> InvalidSetting:
        """An error that came up further down, with the place of the setting that it is about."""
        names = {it.path[-1]: it.dotted for it in declared().values()}
        names |= {name: it.dotted for name, it in flat().items()}
        name = names.get(error.setting.removeprefix("auth_"), error.setting)
        return _refusal(name, error.value, error.problem, self.places)


def load(flags: Mapping[str, Any] | None = None, file: str | None = None) -> Found:
    """The settings in force.

    Args:
        flags: what was said on the command line, by the settings' flat names.
        file: instead of the one that the variable ``SUPERSONIQ_CONFIG`` names, or
            ``supersoniq.toml`` in the working directory, which need not be there.

    Raises:
        InvalidSetting: one of them is unknown or cannot be.
    """
    name, read = read_settings(file)
    trees = (
        _tree({name: Value(value, _flag(name, value)) for name, value in (flags or {}).items()}),
        _tree(_variables()),
        _placed(read, name, ()),
    )

    class InForce(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, _values(tree)) for tree in trees)

    found: dict[str, Value] = {}
    for tree in reversed(trees):
        found |= _leaves(tree)
    places = {name: leaf.place for name, leaf in found.items()}
    try:
        return Found(InForce(), places)
    except ValidationError as error:
        raise _told(error, found, places) from None


def _flag(name: str, value: Any) -> str:
    return f"flag --{'no-' if value is False else ''}{name.replace('_', '-')}"


def _variables() -> dict[str, Value]:
    """The variables that are settings; an empty one is none.

    Raises:
        InvalidSetting: one is not in capitals.
    """
    found: dict[str, Value] = {}
    for variable, value in sorted(os.environ.items()):
        name = variable.removeprefix(PREFIX)
        if name == variable or not value or NOT_OURS.fullmatch(name):
            continue
        if name == "PORT" and "://" in value:
            continue  # Kubernetes
        leaf = Value(value, f"variable {variable}")
        if name != name.upper():
            raise _unknown(name, leaf, flat())
        found[name.lower()] = leaf
    return found


def _tree(values: Mapping[str, Value]) -> dict[str, Any]:
    """Sections of values, from flat names.

    Raises:
        InvalidSetting: there is no such setting.
    """
    known, tree = flat(), dict[str, Any]()
    for name, leaf in values.items():
        setting = known.get(name) or known.get(name.removesuffix("_file"))
        if setting is None or (setting.name != name and not setting.told.file):
            raise _unknown(name, leaf, known)
        *above, last = setting.path
        below = tree
        for part in above:
            below = below.setdefault(part, {})
        _put(below, last + ("_file" if setting.name != name else ""), setting, leaf)
    return tree


def _placed(table: Mapping[str, Any], file: str, above: tuple[str, ...]) -> dict[str, Any]:
    known, tree = declared(), dict[str, Any]()
    sections = {setting.path[0] for setting in known.values() if setting.section is not None}
    for name, value in table.items():
        path = (*above, name)
        dotted = ".".join(path)
        leaf = Value(value, f"{file}: {dotted}")
        if not above and name in sections:
            if not isinstance(value, dict):
                raise InvalidSetting(name, "(hidden)", f"is a section: write [{name}] ({file})")
            tree[name] = _placed(value, file, path)
            continue
        setting = known.get(dotted) or known.get(dotted.removesuffix("_file"))
        if setting is None or (setting.dotted != dotted and not setting.told.file):
            if isinstance(value, dict):
                near = " and ".join(
                    difflib.get_close_matches(name, sections, 1) or sorted(sections)
                )
                raise InvalidSetting(
                    name, "(a table)", f"no such section; there is {near} ({file})"
                )
            raise _unknown(dotted, leaf, known)
        _put(tree, name, setting, leaf)
    return tree


def _put(table: dict[str, Any], name: str, setting: Setting, leaf: Value) -> None:
    """Add a leaf; what a file holds is read."""
    if name != setting.path[-1]:
        named = f"{setting.dotted}_file"
        try:
            text = held(named, leaf.value)
        except InvalidSetting as error:
            raise _refusal(named, error.value, error.problem, {named: leaf.place}) from None
        name, leaf = setting.path[-1], Value(text, f"the file {leaf.value}, from {leaf.place}")
    if name in table:
        both = f"is given twice: by {table[name].place}, and by {leaf.place}"
        raise InvalidSetting(setting.dotted, shown(setting, str(leaf.value)), both)
    table[name] = leaf


def _values(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: below.value if isinstance(below, Value) else _values(below)
        for name, below in tree.items()
    }


def _leaves(tree: Mapping[str, Any], above: str = "") -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, below in tree.items():
        if isinstance(below, Value):
            found[above + name] = below
        else:
            found |= _leaves(below, f"{above}{name}.")
    return found


def _unknown(name: str, leaf: Value, known: Mapping[str, Setting]) -> InvalidSetting:
    near = next(iter(difflib.get_close_matches(name, known, 1)), None)
    if near is None:  # the right word in the wrong section
        last = re.split(r"[._]", name)[-1]
        near = next((each for each, it in known.items() if last in (it.path[-1], it.name)), None)
    secret = TELLING.search(name) or (near is not None and known[near].hidden)
    value = "(hidden)" if secret else leaf.value
    where = leaf.place.startswith("variable")
    hint = "" if near is None else f"; did you mean {known[near].variable if where else near}?"
    return InvalidSetting(name, _safe(value), f"no such setting{hint} ({leaf.place})")


def _safe(value: Any) -> Any:
    """A value as an error may show it. A key in a wrong place is still a key."""
    if not isinstance(value, str):
        return value
    shown = "(hidden)" if "-----BEGIN" in value else without_password(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."


def _told(
    error: ValidationError, found: Mapping[str, Value], places: Mapping[str, str]
) -> InvalidSetting:
    """The first thing that is wrong, in our words."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidSetting):  # from a check of several settings, or of the app's
        return _refusal(f"{path[0]}.{cause.setting}", cause.value, cause.problem, places)
    name = next((name for name in (".".join(path[:2]), path[0]) if name in declared()), path[0])
    value = found[name].value if name in found else None
    rule = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return _refusal(name, value, f"{rule[:1].lower()}{rule[1:]}", places)


def _refusal(name: str, value: Any, problem: str, places: Mapping[str, str]) -> InvalidSetting:
    """An error with the places of all settings that it names."""
    setting = declared().get(name)
    value = str(value) if isinstance(value, Path) else value
    value = shown(setting, value) if setting is not None else value
    for other in places:
        if "." in other:
            problem = re.sub(rf"\b{re.escape(other)}\b", f"{other} ({places[other]})", problem)
    where = f" ({places[name]})" if name in places else ""
    return InvalidSetting(name, _safe(value), f"{problem}{where}")
