"""From bytes and texts to typed values, with an error that names the field.

JSON is read strictly: UTF-8, no NaN or Infinity, no member twice in one object (of which readers
would see different ones), nothing deeper than ``max_depth``. Numbers are as Python reads them:
integers exactly, fractions as 64-bit floats.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from supersoniq.core.errors import HIDDEN, InvalidArgument

__all__ = ["Nothing", "convert", "items", "loads", "within"]

T = TypeVar("T")


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No fields at all."""


def loads(raw: bytes, max_depth: int) -> Any:
    """The JSON value in some bytes. O(length).

    Raises:
        InvalidArgument: it is none, or breaks a rule of this module. The field is ``body``.
    """
    if raw.count(b"[") + raw.count(b"{") > max_depth and _too_deep(raw, max_depth):
        raise InvalidArgument("body", HIDDEN, f"is nested over {max_depth} levels deep")
    try:
        return _parsed(raw.decode())
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        problem = "is nested too deep"
    except ValueError as error:  # a double member, NaN, an integer of thousands of digits
        problem = str(error).partition(";")[0]
    raise InvalidArgument("body", HIDDEN, problem)


def items(raw: bytes) -> list[msgspec.Raw]:
    """The still encoded items of a JSON array. Their insides are not checked yet. O(length).

    Raises:
        InvalidArgument: it is none.
    """
    try:
        return _array.decode(raw)
    except RecursionError:
        problem = "is nested too deep"
    except msgspec.ValidationError:
        problem = "takes an array"
    except msgspec.DecodeError as error:
        problem = str(error).replace("JSON is malformed", "is not JSON")
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}"
    raise InvalidArgument("body", HIDDEN, problem)


def convert(value: Any, kind: type[T], *, texts: bool = False) -> T:
    """A decoded value as a typed one.

    Args:
        value: what ``loads`` gave, or a map of texts.
        kind: a ``msgspec.Struct``.
        texts: numbers may be written as texts, as in a query.

    Raises:
        InvalidArgument: it does not fit; names the field.
    """
    try:
        made = msgspec.convert(value, kind, strict=not texts)
    except msgspec.ValidationError as error:
        raise _explained(str(error), value, kind) from None
    except UnicodeEncodeError:
        raise InvalidArgument("body", HIDDEN, "has a lone surrogate in a member's name") from None
    if texts:
        for name in value:
            if getattr(made, name) is None:  # msgspec would take "null" for it
                raise InvalidArgument(name, value[name], "takes a value; leave it out for none")
    return made


def within(error: InvalidArgument, place: str) -> InvalidArgument:
    """The same error, its field further in: ``priority`` within ``[3]`` is ``[3].priority``."""
    field = place if error.field == "body" else f"{place}.{error.field}"
    return type(error)(field, error.value, error.problem)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the member {double[:80]!r} twice in one object")
    return made


def _constant(text: str) -> Any:
    raise ValueError(f"has {text}, which is not JSON")


def _parsed(text: str) -> Any:
    try:
        value, end = _decoder.raw_decode(text)
    except json.JSONDecodeError:
        return _decoder.decode(text)
    # White space around it, or something else: ``decode`` takes its time to look.
    return value if end == len(text) else _decoder.decode(text)


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_array = msgspec.json.Decoder(list[msgspec.Raw])

# A string, or what an unterminated one leaves; possessive, so that no input makes it go back.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_SQUARE = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(code for code in range(256) if code not in b"[]{}")


def _too_deep(raw: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than that. O(length), and O(brackets) for each level."""
    brackets = _STRING.sub(b"", raw).translate(_SQUARE, _OTHERS)
    for _ in range(limit):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break  # either all gone, or unbalanced, which the parser will tell better
        brackets = inner
    return b"[]" in brackets


_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
_MEMBER = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`")


def _explained(text: str, value: Any, kind: type[Any]) -> InvalidArgument:
    match = _PLACE.fullmatch(text)
    assert match is not None
    what, place = match["what"], match["place"] or ""
    member = _MEMBER.fullmatch(what)
    if member is not None:
        name = member["name"]
        field = f"{place}.{name}" if place else name
        if member["what"] == "missing required":
            return InvalidArgument(field, None, "is missing")
        known = ", ".join(known.encode_name for known in msgspec.structs.fields(kind))
        told = f"no such field; there are: {known}" if known and not place else what
        given = value.get(name) if isinstance(value, dict) else None
        if not isinstance(given, int | None):
            given = HIDDEN  # it may be a content, its name misspelt
        return InvalidArgument(field, given, told)
    told = what[:1].lower() + what[1:].replace("`", "")
    return InvalidArgument(place or "body", _at(place, value), told)


_STEP = re.compile(r"\[(?P<index>[0-9]+)\]|\.?(?P<name>[^.\[]+)")


def _at(place: str, value: Any) -> Any:
    """What is there, if that is a single value: others may have a content within."""
    at = 0
    while at < len(place):
        step = _STEP.match(place, at)
        try:
            assert step is not None  # a place within a map
            value = value[step["name"] or int(step["index"])]
        except (AssertionError, LookupError, TypeError):
            return HIDDEN
        at = step.end()
    return HIDDEN if isinstance(value, list | dict) else value
