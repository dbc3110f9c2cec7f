"""A request's body: counted while it arrives, let in when there is room for it, and in time."""

from __future__ import annotations

from supersoniq.adapters.asgi import Receive, Scope
from supersoniq.adapters.http.admission import LITTLE, Room
from supersoniq.adapters.http.problems import Refusal
from supersoniq.adapters.http.service import Service
from supersoniq.adapters.http.turns import NOBODY

__all__ = ["Gone", "Incoming", "too_large", "too_slow"]


class Gone(Exception):
    """The client has left: nobody is there to be answered."""


class Incoming:
    """What comes of one request.

    Args:
        service: what all requests share.
        scope: what is known of it.
        receive: awaits more of it.
    """

    __slots__ = ("_headers", "_read", "_receive", "_room", "limits", "scope", "service")

    def __init__(self, service: Service, scope: Scope, receive: Receive) -> None:
        self.service = service
        self.limits = service.limits
        self.scope = scope
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._read = False
        self._receive = receive
        self._room: Room | None = None

    def header(self, name: bytes) -> str | None:
        """A header field, its name in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def receive(self) -> bytes | None:
        """The next piece of its body, which may be empty; ``None`` after the last.

        Raises:
            Gone: the client left before the end.
        """
        if self._read:
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        self._read = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    async def body(self, limit: int | None = None) -> bytes:
        """Its whole body.

        Args:
            limit: bytes of it; ``None``: ``max_body``.

        Raises:
            Refusal: it is too large or too slow.
            Gone: the client left before the end.
        """
        limit = self.limits.max_body if limit is None else limit
        length = self._length()
        if length is not None and length > limit:
            raise too_large(limit, length)
        service, begun = self.service, b""
        try:
            free = LITTLE if self._may_wait() else limit
            if length is None or length <= free:
                begun = await service.body_deadline.within(self._little(limit, free))
                if self._read:  # nearly always it comes whole
                    return begun
            address, port = self.scope.get("client") or NOBODY
            admission = service.admission
            self._room = await admission.enter(length or limit, (address, port), len(begun))
            return await service.body_deadline.within(self._rest(begun, limit))
        except TimeoutError:
            raise too_slow(self.limits.body_timeout) from None

    def _length(self) -> int | None:
        """Bytes of its body, as far as that is told; very many if that is no number."""
        length = self.header(b"content-length")
        if length is None or not length.isdecimal():
            return None
        return int(length) if len(length) < 20 else 10**20

    def _may_wait(self) -> bool:
        """Whether it can be left unread, with nobody else behind it.

        Other servers than ours give all bodies of a connection of HTTP/2 or 3 one window, too.
        """
        scope = self.scope
        shared = scope.get("http_version") in ("2", "2.0", "3")
        return not shared or "supersoniq.windows" in scope.get("extensions", {})

    async def _little(self, limit: int, free: int) -> bytes:
        """What has come of its body when that is whole, or too much to be taken like that."""
        first = await self.receive() or b""
        if len(first) > limit:
            raise too_large(limit)
        if self._read or len(first) > free:
            return first
        pieces, size = [first], len(first)
        with self.service.arriving(size) as arrival:
            while not self._read and size <= free:
                piece = await self.receive() or b""
                size += len(piece)
                if size > limit:
                    raise too_large(limit)
                pieces.append(piece)
                arrival.grow(len(piece))
        return b"".join(pieces)

    async def _rest(self, begun: bytes, limit: int) -> bytes:
        """All of its body, now that there is room for it."""
        room = self._room
        assert room is not None
        pieces, size = [begun], len(begun)
        with room:
            while not self._read:
                piece = await self.receive() or b""
                size += len(piece)
                if size > limit:
                    raise too_large(limit)
                pieces.append(piece)
                room.come += len(piece)
        room.shrink(size)
        return b"".join(pieces)

    def leave_room(self) -> None:
        """Nothing is needed of its body any more."""
        if self._room is not None:
            self._room.leave()
            self._room = None


def too_large(limit: int, size: int | None = None) -> Refusal:
    """The refusal of a body, or of one line of it."""
    is_what = "is larger than" if size is None else f"of {size} bytes is over"
    return Refusal(413, f"the body {is_what} the {limit} bytes that this server takes", limit=limit)


def too_slow(seconds: float) -> Refusal:
    """The refusal of a body that does not come."""
    return Refusal(408, f"no body within {seconds:g} s", timeout=seconds)
