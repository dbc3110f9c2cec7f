"""The two subprotocols: the same frames in JSON text and in MessagePack.

In JSON a content travels as over HTTP. MessagePack can say bytes: there a client's ``content`` may
be some, and the server's always are, exactly those that are stored.

Either is decoded straight into typed structs where it can be. Only what does not fit is looked at
once more, slowly, to say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Union

import msgspec

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.wire import Encoding, Envelope, EventOut, LeaseOut
from supersoniq.adapters.ws.frames import REQUESTS, Out, Publish, Request
from supersoniq.core import checks
from supersoniq.core.errors import HIDDEN, InvalidArgument
from supersoniq.core.messages import Event, Lease
from supersoniq.wire import answers

__all__ = ["CODECS", "BadFrame", "Codec", "Unreadable"]


_NESTED = (list, dict)


class Unreadable(Exception):
    """It is no object of that format."""


class BadFrame(Exception):
    """It is an object, but no frame."""

    def __init__(self, id: int | str | None, error: InvalidArgument) -> None:
        super().__init__(str(error))
        self.id = id
        self.error = error


class Head(msgspec.Struct):
    """What is asked of a frame before anything else."""

    id: int | str | None = None


class Codec:
    """One format.

    Args:
        max_depth: levels of arrays and maps that a frame may have.
    """

    name: ClassVar[str]
    text: ClassVar[bool]
    """Whether its frames are text."""
    encode: Callable[[Any], bytes]
    """Makes bytes of anything."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth

    def read(self, raw: bytes) -> Request:
        """The frame in some bytes.

        Raises:
            Unreadable: they are no object of this format.
            BadFrame: they are an object, but no frame.
        """
        raise NotImplementedError

    def write(self, frame: Out) -> bytes:
        """The bytes of a frame."""
        return self.encode(frame)

    def delivery(self, lease: Lease, encoding: Encoding) -> LeaseOut | answers.LeaseOut:
        """A lease in words."""
        raise NotImplementedError

    def event(self, event: Event, encoding: Encoding) -> Any:
        """An event in words."""
        raise NotImplementedError


class Json(Codec):
    """Text frames."""

    name = "supersoniq.v1.json"
    text = True
    encode = msgspec.json.Encoder().encode
    _head = msgspec.json.Decoder(Head)

    def read(self, raw: bytes) -> Request:
        try:
            value = decode.loads(raw, self._max_depth)
        except InvalidArgument as error:
            raise BadFrame(_id_in(raw, self._head.decode, error.problem), error) from None
        return _typed(value)

    def delivery(self, lease: Lease, encoding: Encoding) -> LeaseOut | answers.LeaseOut:
        told = LeaseOut.of_lease(lease, encoding)
        assert isinstance(told, LeaseOut)
        return told

    def event(self, event: Event, encoding: Encoding) -> Any:
        return EventOut.of(event, encoding)


class MessagePack(Codec):
    """Binary frames."""

    name = "supersoniq.v1.msgpack"
    text = False
    encode = msgspec.msgpack.Encoder().encode
    _head = msgspec.msgpack.Decoder(Head)
    _any = msgspec.msgpack.Decoder()
    _decode = msgspec.msgpack.Decoder(Union[tuple(REQUESTS.values())])  # noqa: UP007  # made of a table

    def read(self, raw: bytes) -> Request:
        try:
            frame: Request = self._decode.decode(raw)
        except msgspec.ValidationError:
            frame = self._explained(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreadable(f"is not MessagePack: {error}") from None
        except RecursionError:
            raise self._deep(raw) from None
        if isinstance(frame, Publish):
            for message in frame.messages:
                if message.content.__class__ in _NESTED:
                    self._check(frame, message)
        return frame

    def delivery(self, lease: Lease, encoding: Encoding) -> LeaseOut | answers.LeaseOut:
        return answers.LeaseOut.of(lease)

    def event(self, event: Event, encoding: Encoding) -> Any:
        return event

    def _explained(self, raw: bytes) -> Request:
        try:
            value = self._any.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreadable(f"is not MessagePack: {error}") from None
        except RecursionError:
            raise self._deep(raw) from None
        except TypeError as error:  # a map's key that cannot be hashed
            raise Unreadable(f"has a map that cannot be read: {error}") from None
        return _typed(value)

    def _deep(self, raw: bytes) -> BadFrame:
        error = InvalidArgument("body", HIDDEN, "is nested too deep")
        return BadFrame(_id_in(raw, self._head.decode, error.problem), error)

    def _check(self, frame: Publish, message: Envelope) -> None:
        """MessagePack can say more than JSON, and says it deeper; content must be a JSON value."""
        # The frame, its list of messages and the message stand around it.
        problem = _unlike_json(message.content, self._max_depth - 3)
        if problem:
            place = next(n for n, each in enumerate(frame.messages) if each is message)
            field = f"messages[{place}].content"
            raise BadFrame(frame.id, InvalidArgument(field, message.content, problem))


CODECS: dict[str, type[Codec]] = {kind.name: kind for kind in (Json, MessagePack)}
"""By the name of the subprotocol."""


def _id_in(raw: bytes, head: Callable[[bytes], Head], problem: str) -> int | str | None:
    """The id of a frame that breaks some rule but is an object all the same.

    Raises:
        Unreadable: it is none.
    """
    try:
        return _id_of(head(raw).id)
    except msgspec.ValidationError as error:
        if "`object`" in str(error) and " - at" not in str(error):
            raise Unreadable("is not an object") from None
        return None  # the id is of a wrong type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable(problem) from None


def _id_of(value: Any) -> int | str | None:
    """An id that can be repeated; ``None`` if it cannot."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= 2**53 else None
    try:
        return checks.label("id", value, 128)
    except InvalidArgument:
        return None


def _typed(value: Any) -> Request:
    """A decoded object as a frame; says what is wrong with it, if anything is."""
    if not isinstance(value, dict):
        raise Unreadable("is not an object")
    id = _id_of(value.get("id"))
    name = value.get("type")
    kind = REQUESTS.get(name) if isinstance(name, str) else None
    if kind is None:
        rule = f"takes one of: {', '.join(REQUESTS)}"
        raise BadFrame(id, InvalidArgument("type", name, "is missing" if name is None else rule))
    if id is None and "id" in value:
        rule = "takes an integer from 0 to 2**53, or a string of 1 to 128 characters"
        raise BadFrame(None, InvalidArgument("id", value["id"], rule))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        pass
    except UnicodeEncodeError:
        raise BadFrame(id, InvalidArgument("body", "", "has a lone surrogate")) from None
    try:
        field, item = kind.items
        parts = value.get(field)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            try:
                decode.convert(part, item)
            except InvalidArgument as error:
                raise decode.within(error, f"{field}[{number}]") from None
        decode.convert(value, kind)
    except InvalidArgument as error:
        raise BadFrame(id, error) from None
    except UnicodeEncodeError:
        raise BadFrame(id, InvalidArgument("body", "", "has a lone surrogate")) from None
    raise AssertionError("it fits after all")


def _unlike_json(value: Any, depth: int) -> str:
    """What keeps a decoded MessagePack value from being a JSON value. O(size)."""
    level = [value]
    for _ in range(max(depth, 0)):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if not all(isinstance(key, str) for key in each):
                    return "has a map with a key that is no string"
                below.extend(each.values())
            else:
                below.extend(each)
        level = [each for each in below if isinstance(each, list | dict)]
        if not level:
            return ""
    return "is nested too deep"
