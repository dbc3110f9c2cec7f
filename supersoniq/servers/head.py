"""The head of a request in HTTP/2 and HTTP/3: read with suspicion, then told to an app.

The protocol libraries take a bad head for a reason to end the whole connection. It is one request's
fault, so their checks are off and these are on: RFC 9113, sections 8.1 to 8.3 (RFC 9114 section 4
has the same), and RFC 8441. What fails is answered, on its own stream, and seen by no app.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

__all__ = ["BadHead", "Endpoints", "Head", "http_scope", "read_head", "websocket_scope"]

Field = tuple[bytes, bytes]

PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
COMMON = frozenset(
    (
        b"accept", b"accept-encoding", b"accept-language", b"authorization", b"cache-control",
        b"content-length", b"content-type", b"host", b"idempotency-key", b"if-none-match",
        b"last-event-id", b"origin", b"prefer", b"priority", b"referer", b"user-agent",
    )
)  # fmt: skip
"""Names that need no closer look."""

is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
is_method = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}").fullmatch
is_path = re.compile(rb"/[!-~]*").fullmatch
is_authority = re.compile(rb"[!-?A-~]*").fullmatch
QUOTED = re.compile(r'"([ !#-\[\]-~]*)"')
"""A string of RFC 9651 in which nothing is escaped."""
is_bad_value = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z").search


class BadHead(Exception):
    """A head that is answered at once.

    Args:
        status: of the answer.
        problem: what is wrong, for its body.
    """

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem


class Head(NamedTuple):
    """A request's head, in order."""

    method: str
    scheme: str
    authority: bytes
    path: bytes
    """With its query."""
    protocol: str
    """Of an extended CONNECT; empty for any other request."""
    fields: list[Field]
    """With ``host`` first, and one ``cookie`` at most."""
    length: int | None
    """What ``content-length`` says."""
    waits: bool
    """Whether the client holds its body back until it hears a 100."""


class Endpoints(NamedTuple):
    """What is the same for all requests of a connection, in terms of ASGI."""

    http_version: str
    secure: bool
    server: tuple[str, int | None] | None
    client: tuple[str, int] | None
    root_path: str


def read_head(
    received: Iterable[Field], limit: int, protocols: Container[bytes] = (b"websocket",)
) -> Head:
    """Read a header block.

    Args:
        received: its fields.
        limit: bytes that the list may have, each field counted with 32 more.
        protocols: those that an extended CONNECT may ask for.

    Raises:
        BadHead: it is no request, or none that can be served.
    """
    pseudo: dict[bytes, bytes] = {}
    fields: list[Field] = []
    cookies: list[bytes] = []
    host: bytes | None = None
    length: bytes | None = None
    size = 0
    waits = False
    for name, value in received:
        size += len(name) + len(value) + 32
        if is_bad_value(value):
            raise BadHead(400, "a field has a value that cannot be")
        if name[:1] == b":":
            if name not in PSEUDO:
                raise BadHead(400, "there is an unknown pseudo field")
            if name in pseudo or fields or cookies:
                raise BadHead(400, "a pseudo field is there twice, or too late")
            pseudo[name] = value
            continue
        if name not in COMMON:
            if not is_name(name):
                raise BadHead(400, "a field has a name that cannot be")
            if name in HOP_BY_HOP or (name == b"te" and value.lower() != b"trailers"):
                raise BadHead(400, f"{name.decode()} has no place here")
            if name == b"cookie":
                cookies.append(value)
                continue
            waits = waits or (name == b"expect" and value.lower() == b"100-continue")
        elif name == b"host":
            if host is not None and host != value:
                raise BadHead(400, "there are two hosts")
            host = value
            continue
        elif name == b"content-length":
            if length is not None and length != value:
                raise BadHead(400, "there are two content-lengths")
            if length is not None:
                continue
            length = value
        fields.append((name, value))
    if size > limit:
        raise BadHead(431, f"the head is over {limit} bytes")
    if length is not None and not (length.isdigit() and len(length) < 19):
        raise BadHead(400, "content-length is no number")
    if cookies:
        fields.append((b"cookie", b"; ".join(cookies)))
    if pseudo.get(b":method") == b"CONNECT":
        protocol = pseudo.get(b":protocol")
        if not protocol:
            raise BadHead(501, "CONNECT is for WebSockets only")
        if protocol not in protocols:
            raise BadHead(501, "CONNECT speaks no such protocol")
    return _checked(pseudo, fields, host, None if length is None else int(length), waits)


def _checked(
    pseudo: dict[bytes, bytes],
    fields: list[Field],
    host: bytes | None,
    length: int | None,
    waits: bool,
) -> Head:
    method = pseudo.get(b":method", b"")
    if not is_method(method):
        raise BadHead(400, "there is no :method that could be one")
    protocol = pseudo.get(b":protocol", b"")
    if method != b"CONNECT" and b":protocol" in pseudo:
        raise BadHead(400, ":protocol goes with CONNECT")
    scheme = pseudo.get(b":scheme", b"")
    if scheme not in (b"http", b"https"):
        raise BadHead(400, "there is no :scheme that could be one")
    path = pseudo.get(b":path", b"")
    if not is_path(path) and not (path == b"*" and method == b"OPTIONS"):
        raise BadHead(400, "there is no :path that could be one")
    authority = pseudo.get(b":authority", host)
    if not authority or not is_authority(authority):
        raise BadHead(400, "there is no :authority that could be one")
    if host is not None and host != authority:
        raise BadHead(400, "host and :authority differ")
    fields.insert(0, (b"host", authority))
    return Head(
        method.decode(), scheme.decode(), authority, path, protocol.decode(), fields, length, waits
    )


def http_scope(head: Head, ends: Endpoints, state: dict[str, Any]) -> dict[str, Any]:
    """The ASGI scope of a request.

    Its extension ``supersoniq.windows`` says that a body that nobody reads is in no other's way.
    """
    scope = _scope(head, ends, state)
    scope["type"] = "http"
    scope["scheme"] = "https" if ends.secure else "http"
    scope["method"] = head.method
    scope["extensions"] = {"http.response.trailers": {}, "supersoniq.windows": {}}
    return scope


def websocket_scope(head: Head, ends: Endpoints, state: dict[str, Any]) -> dict[str, Any]:
    """The ASGI scope of a WebSocket.

    On a stream of a WebTransport session it has the extension ``webtransport``, and the session's
    ``protocols``, if it named any, as subprotocols: those of all its streams.
    """
    scope = _scope(head, ends, state)
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if ends.secure else "ws"
    scope["extensions"] = {"websocket.http.response": {}}
    if head.protocol == "webtransport":
        scope["extensions"]["webtransport"] = {}
        offers = _values(head, b"wt-available-protocols")
        scope["subprotocols"] = [name for value in offers for name in QUOTED.findall(value)]
    else:
        offers = _values(head, b"sec-websocket-protocol")
        scope["subprotocols"] = [name.strip() for value in offers for name in value.split(",")]
    return scope


def _values(head: Head, field: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in head.fields if name == field]


def _scope(head: Head, ends: Endpoints, state: dict[str, Any]) -> dict[str, Any]:
    raw_path, _, query = head.path.partition(b"?")
    path = raw_path.decode("ascii")
    return {
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": ends.http_version,
        "server": ends.server,
        "client": ends.client,
        "root_path": ends.root_path,
        "path": ends.root_path + (unquote(path) if "%" in path else path),
        "raw_path": ends.root_path.encode() + raw_path,
        "query_string": query,
        "headers": head.fields,
        "state": state.copy(),
    }
