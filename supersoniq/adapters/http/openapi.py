"""The document that describes the app: OpenAPI 3.1, made from its routes.

Nothing is said twice. The routes are the route table; what a handler takes and gives are the types
that it decodes and answers with (``described``); what may go wrong is the table of errors; the
limits are those of this very app. A handler that says nothing of itself is an error here.

Two things OpenAPI cannot say, and the descriptions do: that the fields of a query mean nothing
beside an envelope, and that a backoff's ``initial`` is at most its ``maximum``.

A stream of lines, or of events, has the schema of an array: an item is a line, or an event's data.
That is how OpenAPI 3.2 reads such types; 3.1 leaves them open.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import supersoniq
from supersoniq.adapters.http.described import Body, Described, Gives, description_of
from supersoniq.adapters.http.endpoint import Handler
from supersoniq.adapters.http.limits import Limits
from supersoniq.adapters.http.media import JSON, NDJSON, PROBLEM, SSE
from supersoniq.adapters.http.schemas import PLACE, Schema, Schemas
from supersoniq.core import errors
from supersoniq.wire.bounds import MessageId, QueueName

__all__ = ["openapi"]

ABOUT = """\
A message queue: the same messages, verbs and guarantees as by import or over WebSocket.

Durations are seconds, instants integer milliseconds since the Unix epoch. Integers are written \
without a fraction. An unknown field, in a body or a query, is an error that names it, and so is a \
member that is twice in an object, a field that is twice in a query, JSON nested over \
{max_depth} levels deep, and a body that is compressed. `HEAD` is answered wherever `GET` is, and \
`OPTIONS` everywhere; another method is a 405 whose `Allow` names those that would do.

Every error is a problem document (RFC 9457). `retry` says whether the very same request can \
succeed later; there is then a `Retry-After`. A 5xx is an outage or a bug."""

PATH = {"queue": QueueName, "id": MessageId}
FIELDS = {
    "Location": "Where it can be looked up.",
    "Link": 'The next page, if there is one: `rel="next"`.',
    "Preference-Applied": "`wait=0`, if it was preferred.",
    "Retry-After": "Seconds after which a retry can help.",
    "Upgrade": "`websocket`.",
}
OUTAGE = (errors.BackendUnavailable, errors.IncompatibleStore, errors.Closed, errors.OutcomeUnknown)
LINKED = ("look", "cancel", "explain")


def openapi(routes: Mapping[str, Mapping[str, Handler]], limits: Limits) -> dict[str, Any]:
    """The document, but for its ``servers``.

    Args:
        routes: handlers by path and method.
        limits: the app's.

    Raises:
        LookupError: a handler says nothing of itself.
    """
    return _Document(limits).of(routes)


class _Document:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._schemas = Schemas(limits)

    def of(self, routes: Mapping[str, Mapping[str, Handler]]) -> dict[str, Any]:
        paths = {
            path: {
                method.lower(): self._operation(path, handler)
                for method, handler in methods.items()
            }
            for path, methods in sorted(routes.items())
        }
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "SupersoniQ",
                "version": supersoniq.__version__,
                "description": ABOUT.format(max_depth=self._limits.max_depth),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {"schemas": dict(sorted(self._schemas.components.items()))},
        }

    def _operation(self, path: str, handler: Handler) -> dict[str, Any]:
        what = description_of(handler)
        summary, _, more = _words(handler).partition("\n\n")
        operation: dict[str, Any] = {
            "operationId": _name(path, handler),
            "tags": [handler.__module__.rpartition(".")[2]],
            "summary": " ".join(summary.split()),
            "description": more,
            "parameters": [*self._parameters(path, what)],
        }
        if what.body is not None:
            operation["requestBody"] = self._body(what.body)
        operation["responses"] = {
            **{str(status): self._answer(path, each) for status, each in what.gives.items()},
            **self._problems(path, what),
        }
        return {key: value for key, value in operation.items() if value}

    def _parameters(self, path: str, what: Described) -> Iterator[dict[str, Any]]:
        for name in _names(path):
            schema = self._schemas.of(PATH[name])
            yield {"name": name, "in": "path", "required": True, "schema": schema}
        if what.query is not None:
            for field in inspect.signature(what.query).parameters:
                schema = self._field(what.query, field)
                yield {"name": field, "in": "query", "schema": schema}
        if what.free is not None:
            yield self._free(*what.free)
        for name, kind in what.fields.items():
            yield {"name": name, "in": "header", "schema": self._schemas.of(kind)}

    def _field(self, query: type[Any], name: str) -> Schema:
        """The schema of a field of a query, in which ``null`` cannot be written."""
        self._schemas.of(query)
        found = dict(self._schemas.components[query.__name__]["properties"][name])
        kinds = found.get("type")
        if isinstance(kinds, list) and "null" in kinds:
            kinds = [kind for kind in kinds if kind != "null"]
            found["type"] = kinds[0] if len(kinds) == 1 else kinds
        several = [each for each in found.get("anyOf", ()) if each != {"type": "null"}]
        if several:
            del found["anyOf"]
            found.update(several[0] if len(several) == 1 else {"anyOf": several})
        if found.get("default", 0) is None:
            del found["default"]
        return found

    def _free(self, prefix: str, kind: Any) -> dict[str, Any]:
        """Query fields of any name: an object's members, each of which is one field."""
        schema = dict(self._schemas.of(kind))
        names, values = schema.pop("propertyNames"), schema.pop("additionalProperties")
        pattern = f"^{re.escape(prefix)}{names['pattern'].removeprefix('^')}"
        schema |= {"patternProperties": {pattern: values}, "additionalProperties": False}
        return {
            "name": prefix.rstrip("."),
            "in": "query",
            "description": f"Each is a field of its own: `{prefix}<name>`.",
            "style": "form",
            "explode": True,
            "schema": schema,
        }

    def _body(self, body: Body) -> dict[str, Any]:
        size = getattr(self._limits, body.limit)
        text = f"At most {size} bytes"
        text += f", or {size} a line of {NDJSON}." if NDJSON in body.kinds else "."
        return {
            "description": text,
            "required": body.required,
            "content": {kind: self._medium(kind, each) for kind, each in body.kinds.items()},
        }

    def _medium(self, kind: str, what: Any) -> dict[str, Any]:
        if what is None:
            return {"schema": {}}
        schema = self._schemas.of(what)
        if kind == SSE:
            return {"schema": _event(schema)}
        if kind == NDJSON:
            return {"schema": {"type": "array", "items": schema}}
        return {"schema": schema}

    def _answer(self, path: str, gives: Gives) -> dict[str, Any]:
        answer: dict[str, Any] = {"description": gives.description}
        fields = {name: _header(name) for name in gives.fields}
        fields.update({name: _header(name) | {"required": True} for name in gives.always})
        if fields:
            answer["headers"] = fields
        if gives.kinds:
            answer["content"] = {
                kind: self._medium(kind, what) for kind, what in gives.kinds.items()
            }
        if gives.found:
            parameters = {"id": "$response.body#/id"}
            suffix = "_default"
            if "queue" in _names(path):
                parameters["queue"], suffix = "$request.path.queue", ""
            answer["links"] = {
                name: {"operationId": name + suffix, "parameters": parameters} for name in LINKED
            }
        return answer

    def _problems(self, path: str, what: Described) -> dict[str, Any]:
        """What may be wrong, by status."""
        found: dict[int, list[str]] = {}
        for kind in _errors(path, what):
            status, name = self._schemas.error(kind)
            found.setdefault(status, []).append(name)
        for code in _refusals(path, what):
            status, name = self._schemas.refusal(code)
            found.setdefault(status, []).append(name)
        return {str(status): self._problem(names) for status, names in sorted(found.items())}

    def _problem(self, names: list[str]) -> dict[str, Any]:
        names = sorted(set(names))
        schemas = [self._schemas.components[name] for name in names]
        own = [schema["allOf"][1]["properties"] for schema in schemas]
        codes = {each["code"]["const"]: name for each, name in zip(own, names, strict=True)}
        schema: Schema = {"$ref": PLACE + names[0]}
        if len(names) > 1:
            schema = {
                "oneOf": [{"$ref": PLACE + name} for name in names],
                "discriminator": {
                    "propertyName": "code",
                    "mapping": {code: PLACE + name for code, name in codes.items()},
                },
            }
        answer: dict[str, Any] = {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": {PROBLEM: {"schema": schema}},
        }
        if any(each["retry"]["const"] for each in own):
            answer["headers"] = {"Retry-After": _header("Retry-After")}
        if "upgrade-required" in codes:
            answer["headers"] = {"Upgrade": _header("Upgrade")}
        return answer


def _errors(path: str, what: Described) -> Iterator[type[errors.SupersoniqError]]:
    yield from what.errors
    if what.query is not None or what.body is not None or what.fields:
        yield errors.InvalidArgument
    if "queue" in _names(path):
        yield errors.InvalidName
    if "id" in _names(path):
        yield errors.InvalidId
    if what.store:
        yield from OUTAGE
    if what.grows:
        yield errors.StorageFull


def _refusals(path: str, what: Described) -> Iterator[int]:
    yield from what.refusals
    yield 500
    if _names(path):
        yield 404
    if what.picky:
        yield 406
    if what.body is not None:
        yield from (408, 413, 415, 503)


def _names(path: str) -> list[str]:
    """The parameters in a path."""
    return re.findall(r"\{(\w+)\}", path)


def _name(path: str, handler: Any) -> str:
    """The operation's: the handler's, unless the queue is left out of the path."""
    own: str = handler.__name__
    return f"{own}_default" if path.startswith("/messages") else own


def _words(handler: Any) -> str:
    """What its docstring says, without the route that it begins with."""
    text = inspect.getdoc(handler) or ""
    text = re.sub(r"^``[A-Z]+ [^`]*``(: )?", "", text).partition("\n\nRaises:")[0]
    return (text[:1].upper() + text[1:]).replace("``", "`")


def _event(data: dict[str, Any]) -> dict[str, Any]:
    """One server-sent event, whose fields are those that the HTML standard (9.2.5) has."""
    told = {"type": "string", "contentMediaType": JSON, "contentSchema": data}
    return {
        "type": "object",
        "description": "Each event of the stream.",
        "properties": {
            "event": {"type": "string", "description": "The `kind`."},
            "id": {"type": "string", "description": "The `offset`.", "pattern": "^[0-9]+$"},
            "retry": {"type": "integer", "description": "Milliseconds; of the first."},
            "data": told,
        },
        "required": ["event", "id", "data"],
    }


def _header(name: str) -> dict[str, Any]:
    kind = "integer" if name == "Retry-After" else "string"
    return {"description": FIELDS[name], "schema": {"type": kind}}
