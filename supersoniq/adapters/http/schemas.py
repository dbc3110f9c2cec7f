"""JSON Schemas of what travels, from the types that decode it and the errors that it can cause.

``msgspec`` makes the schema of a type. Here they are put together, said shortly (``null`` and a
number beside an ``anyOf`` become one list of types), and given this app's limits. A problem has a
schema for each error: its code, whether a retry can help, and the facts that it carries.
"""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import msgspec

from supersoniq.adapters.http.limits import Limits, limit_in
from supersoniq.adapters.http.problems import REFUSALS, URN, Problem, Refusal, status_of, tries
from supersoniq.core.errors import SupersoniqError

__all__ = ["Schema", "Schemas"]

Schema = dict[str, Any]
PLACE = "#/components/schemas/"


class Schemas:
    """The schemas of one document, by name.

    Args:
        limits: the app's.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.components: dict[str, Schema] = {}
        self._errors: dict[str, tuple[int, str]] = {}

    def of(self, kind: Any) -> Schema:
        """The schema of a type, or of one of several."""
        if isinstance(kind, tuple):
            return {"anyOf": [self.of(each) for each in kind]}
        (schema,), named = msgspec.json.schema_components([kind], ref_template=PLACE + "{name}")
        self._add({name: self._told(each) for name, each in named.items()})
        told: Schema = self._told(schema)
        return told

    def error(self, kind: type[SupersoniqError]) -> tuple[int, str]:
        """The status of an error, and the name of its problem's schema."""
        found = self._errors.get(kind.code)
        if found is None:
            hints = get_type_hints(kind)
            facts = {
                "type": "object",
                "properties": {name: self.of(hints[name]) for name in kind.fields},
                "required": list(kind.fields),
            }
            status, text = status_of(kind), inspect.getdoc(kind) or ""
            found = status, self._problem(kind.code, status, tries(kind), text, facts)
            self._errors[kind.code] = found
        return found

    def refusal(self, status: int) -> tuple[int, str]:
        """The same, for what is wrong with a request whatever the queue."""
        found = self._errors.get(REFUSALS[status])
        if found is None:
            problem = Refusal(status, "").problem
            text = f"Whatever the queue: {problem.title.lower()}."
            found = status, self._problem(REFUSALS[status], status, problem.retry, text, {})
            self._errors[REFUSALS[status]] = found
        return found

    def _problem(self, code: str, status: int, retry: bool, text: str, facts: Schema) -> str:
        name = code.title().replace("-", "") + "Problem"
        own: Schema = {
            "type": {"const": URN + code},
            "status": {"const": status},
            "code": {"const": code},
            "retry": {"const": retry},
        }
        if facts:
            own["data"] = facts
        schema = {
            "description": _plain(text),
            "allOf": [self.of(Problem), {"properties": own}],
        }
        if facts:
            schema["required"] = ["data"]
        self._add({name: schema})
        return name

    def _add(self, schemas: dict[str, Schema]) -> None:
        for name, schema in schemas.items():
            known = self.components.setdefault(name, schema)
            assert known == schema, f"there are two schemas of the name {name}"

    def _told(self, value: Any) -> Any:
        """A schema in plain words, with this app's limits in it."""
        if isinstance(value, str):
            limit = limit_in(self._limits, value)
            return value if limit is None else limit
        if isinstance(value, list | tuple):
            return [self._told(each) for each in value]
        if not isinstance(value, dict):
            return value
        told = {key: self._told(each) for key, each in value.items()}
        if not told.get("required", True):
            del told["required"]
        if isinstance(told.get("description"), str):
            told["description"] = _plain(told["description"])
        return _merged(told)


def _merged(schema: Schema) -> Schema:
    """One of simple types as one schema with several, which says the same."""
    several = schema.get("anyOf")
    if not isinstance(several, list):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if any(each == {} for each in several):
        return rest  # anything
    if not all(isinstance(each.get("type"), str | list) and "enum" not in each for each in several):
        return schema
    types: list[str] = []
    for each in several:
        keywords = dict(each)
        kinds = keywords.pop("type")
        types += [kinds] if isinstance(kinds, str) else kinds
        if keywords.keys() & rest.keys():
            return schema
        rest.update(keywords)
    if "number" in types and "integer" in types:
        types.remove("integer")
    return {"type": types[0] if len(types) == 1 else types, **rest}


def _plain(text: str) -> str:
    return inspect.cleandoc(text).replace("``", "`")
