"""Between records and rows.

**Details** (content type, headers, sender, recipient, key, and the id if another store made it)
are a JSON list, or a letter for the three plainest. Nearly all messages of a sender have the same
ones, so the encoded form and its checksum are looked up, not made, and all such messages share one
``Details`` in memory.

**The checksum** is a CRC-32 over the details and the content that starts from the sequence and
the creation time, so a row that is whole but stands in another's place fails too. ``expires_at``
is not in it: a redrive may take it away.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from supersoniq.core.messages import BYTES, JSON, TEXT, Details, Past, Record
from supersoniq.core.states import Status

__all__ = [
    "checksum",
    "decode_details",
    "decode_past",
    "encode_details",
    "encode_ids",
    "encode_past",
    "record_of",
    "sound",
]


class _Fields(msgspec.Struct, array_like=True):
    content_type: str
    headers: dict[str, str] | None
    sender: str | None
    recipient: str | None
    key: str | None
    origin: str | None = None
    """In hexadecimal; left out where the id was made here."""


_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_past = msgspec.json.Decoder(tuple[str, str | None, str | None]).decode

_STATUS = {str(status): status for status in Status}
"""A status that has rotted counts as dead: such a message is never delivered and can be seen."""
_SHARED = 4096
"""Most pairs of content type and sender whose details are shared."""
_LETTERS = {BYTES: b"b", TEXT: b"t", JSON: b"j"}
"""Details of nothing but one of these types: a small message is mostly details otherwise."""
_encoded: dict[tuple[str, str | None], tuple[bytes, int]] = {
    (kind, None): (raw, zlib.crc32(raw)) for kind, raw in _LETTERS.items()
}
_decoded = {raw: Details(kind) for kind, raw in _LETTERS.items()}


def encode_details(details: Details) -> tuple[bytes, int]:
    """Details as stored, and the checksum of that. O(1) for plain ones."""
    kind, sender = details.content_type, details.sender
    plain = (
        details.key is None
        and details.headers is None
        and details.recipient is None
        and details.origin is None
    )
    if plain and (known := _encoded.get((kind, sender))) is not None:
        return known
    fields = (kind, details.headers, sender, details.recipient, details.key)
    origin = details.origin
    raw = _encode(fields if origin is None else (*fields, f"{origin:x}"))
    made = raw, zlib.crc32(raw)
    if plain and len(_encoded) < _SHARED:
        _encoded[kind, sender] = made
        _decoded[raw] = Details(kind, sender=sender)
    return made


def decode_details(raw: Any, recipient: str, expires_at: int | None) -> Details:
    """Details from their stored form; if rotten, what else is known. O(1) for plain ones."""
    if expires_at is None and (known := _decoded.get(raw)) is not None:
        return known
    if raw in _decoded:
        return msgspec.structs.replace(_decoded[raw], expires_at=expires_at)
    try:
        fields = _decode_fields(raw)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return Details(BYTES, recipient=recipient or None, expires_at=expires_at)
    kind, headers, sender, whom, key = (
        fields.content_type, fields.headers, fields.sender, fields.recipient, fields.key,
    )  # fmt: skip
    origin = None if fields.origin is None else int(fields.origin, 16)
    made = Details(kind, headers, sender, whom, key, expires_at, origin=origin)
    plain = all(each is None for each in (headers, whom, key, origin))
    if plain and expires_at is None and len(_decoded) < _SHARED:
        _decoded[raw] = made
    return made


def checksum(seed: int, sequence: int, created_at: int, content: bytes) -> int:
    """Of one message, whose details have the checksum ``seed``. O(length)."""
    return zlib.crc32(content, seed ^ ((sequence ^ created_at) & 0xFFFFFFFF))


def sound(details: Any, content: Any, sequence: int, created_at: Any, stored: Any) -> bool:
    """Whether a row is what was written. O(length)."""
    try:
        return bool(checksum(zlib.crc32(details), sequence, created_at, content) == stored)
    except TypeError:
        return False  # Not even the types are left.


def encode_ids(ids: Sequence[int]) -> str:
    """Ids as ``json_each`` takes them: any number of them in one parameter."""
    return _encode(ids).decode()


def encode_past(past: Past | None) -> bytes | None:
    """A past as stored: a JSON list, or nothing."""
    return None if past is None else _encode((past.outcomes, past.reason, past.failure))


def decode_past(raw: Any, uncounted: int) -> Past | None:
    """A past from its stored form; one that has rotted is forgotten.

    Args:
        raw: the stored form.
        uncounted: leases that are no deliveries, which stands in the row's figures.
    """
    if raw is None and not uncounted:
        return None
    try:
        return Past(*_decode_past(raw), uncounted)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return Past(uncounted=uncounted) if uncounted else None


def record_of(row: tuple[Any, ...], base: int) -> Record:
    """The record of a row that ``shelves`` has read."""
    (id_, created_at, priority, recipient, expires_at, details, content) = row[:7]
    (status, until, available_at, deliveries, leases, past) = row[7:]
    return Record(
        id_ - base,
        content if isinstance(content, bytes) else b"",
        decode_details(details, recipient, expires_at),
        priority,
        created_at,
        available_at,
        _STATUS.get(status, Status.DEAD),
        leases,
        until,
        decode_past(past, leases - deliveries),
    )
