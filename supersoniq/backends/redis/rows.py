"""Between entries, records and what stands in Redis.

**Content.** What is stored of a message once and for all: when it was made, when it expires, its
rank and its recipient (the *head*, which scripts read), then a checksum, the details and the
content, which they do not look into. All but the first two is made here and sent as one piece.

**State.** What changes: status, leases, those of them that are no deliveries, until when; the head
once more, so that a script need not load the content; and, if something went other than straight,
what. A message that is simply ready has no state at all.

**The checksum** is a CRC-32 over rank, recipient, details and content, compared when a message is
about to be delivered. ``expires_at`` is not in it: a redrive may take it away.

Numbers are big-endian, so that ids compare as their bytes do.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import msgspec

from supersoniq.core import rules
from supersoniq.core.ids import MAX_SEQUENCE, parse_id
from supersoniq.core.keys import digest
from supersoniq.core.messages import BYTES, JSON, TEXT, Details, Entry, Message, Past, Record
from supersoniq.core.policy import Policy, Terms
from supersoniq.core.states import ARCS, Status

__all__ = [
    "LETTERS",
    "decode",
    "decode_event",
    "encode_entry",
    "encode_message",
    "id_of",
    "name_of",
    "sequence_of",
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
_pack = msgspec.msgpack.Encoder().encode
_decode_past = msgspec.msgpack.Decoder(tuple[int, str, str | bool, str | bool], strict=False).decode

_HEAD = struct.Struct(">QQHH")
_STATE = struct.Struct(">cIIQ")
_START = struct.Struct(">HH")
_BODY = struct.Struct(">II")
_PLAIN = struct.Struct(">QQHHII")
"""Both, where there is no recipient."""
_TOP = 32_767
_REST = (1 << 80) - 1
_ANY_TERMS = Terms.of(Policy(keep_done=1.0, keep_dead=1.0))

LETTERS = {
    Status.SCHEDULED: "s",
    Status.READY: "r",
    Status.LEASED: "l",
    Status.DONE: "d",
    Status.DEAD: "x",
}
_STATUS = {letter.encode(): status for status, letter in LETTERS.items()}
_SHARED = 4096
"""Most pairs of content type and sender whose details are shared."""
_TYPES = {BYTES: b"b", TEXT: b"t", JSON: b"j"}
_encoded: dict[tuple[str, str | None], bytes] = {(kind, None): raw for kind, raw in _TYPES.items()}
_decoded = {raw: Details(kind) for kind, raw in _TYPES.items()}


def sequence_of(id_: bytes) -> int:
    """The sequence of a message from its name in Redis."""
    return int.from_bytes(id_)


def name_of(number: int) -> tuple[int, int, str]:
    """An id as scripts take it: sequence, creation, and the rest."""
    return number & MAX_SEQUENCE, number >> 80, f"{(number & _REST) >> 40:x}"


def id_of(name: bytes) -> int:
    """An id from the name that ``name_of``'s parts make, which colons keep apart; 0 for none."""
    if not name:
        return 0
    sequence, created, rest = name.decode().split(":")
    return int(created) << 80 | int(rest, 16) << 40 | int(sequence)


def encode_message(message: Message) -> list[bytes | str | int]:
    """What is sent of a message that another store made."""
    number = parse_id(message.id)
    record = rules.imported(message, 0, 0, _ANY_TERMS, [0] * len(ARCS))
    past = record.past or Past()
    digested = digest(message.content).hex() if message.key is not None else False
    expires_at = 0 if message.expires_at is None else max(message.expires_at, 1)  # 0 is never
    facts = (
        message.created_at, expires_at, LETTERS[message.status], message.deliveries,
        message.available_at, past.reason or False, past.failure or False, digested,
    )  # fmt: skip
    blob = _blob(record.details, message.priority, message.content)
    return [*name_of(number), blob, _pack(facts), message.key or ""]


def encode_entry(entry: Entry) -> tuple[bytes, bytes]:
    """What is sent of a message to be: what is stored, and what else the script must know."""
    details = entry.details
    blob = _blob(details, entry.priority, entry.content)
    if not entry.delay and entry.ttl is None and details.key is None:
        return blob, b""
    key = details.key or False
    mine = digest(entry.content).hex() if key else False
    return blob, _pack((entry.delay, entry.ttl or False, key, mine))


def _blob(details: Details, priority: int, content: bytes) -> bytes:
    recipient = b"" if details.recipient is None else details.recipient.encode()
    raw = _encode_details(details)
    start = _START.pack(_TOP - priority, len(recipient)) + recipient
    crc = zlib.crc32(content, zlib.crc32(raw, zlib.crc32(start)))
    return b"%b%b%b%b" % (start, _BODY.pack(crc, len(raw)), raw, content)


def _encode_details(details: Details) -> bytes:
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
    if plain and len(_encoded) < _SHARED:
        _encoded[kind, sender] = raw
        _decoded[raw] = Details(kind, sender=sender)
    return raw


def decode(
    id_: bytes, state: bytes, content: bytes, *, leased_until: int | None = None
) -> tuple[Record, bool]:
    """A record from its two parts, and whether its content is what was published.

    What has rotted is made the best of: a record always comes back, and then is not sound.

    Args:
        id_: the message's name.
        state: as stored, or nothing.
        content: as stored.
        leased_until: without a state, the deadline of its first lease; ``None``: it has none yet.
    """
    if (
        leased_until is not None
        and not state
        and (found := _decode_plain(id_, content, leased_until))
    ):
        return found, True
    head = state[_STATE.size :] if state else content
    try:
        created, expires, rank, length = _HEAD.unpack_from(head)
    except struct.error:
        created, expires, rank, length = 0, 0, _TOP, 0
    end = _HEAD.size + length
    recipient = head[_HEAD.size : end].decode("utf-8", "replace") or None
    details, body, sound = _decode_content(content, recipient, expires or None)
    status, leases, uncounted, until = Status.READY, 0, 0, 0
    if leased_until is not None:
        status, leases, until = Status.LEASED, 1, leased_until
    available, past = created, None
    if state:
        letter, leases, uncounted, until = _STATE.unpack_from(state)
        # A status that has rotted counts as dead: it is not delivered and can be seen.
        status = _STATUS.get(letter.lower(), Status.DEAD)
        tail = state[_STATE.size + end :]
        if tail:
            available, past = _decode_tail(tail, created, uncounted)
        elif uncounted:
            past = Past(uncounted=uncounted)
    priority = _TOP - rank
    record = Record(
        sequence_of(id_), body, details, priority, created, available, status, leases, until, past
    )
    return record, sound


def _decode_plain(id_: bytes, content: bytes, leased_until: int) -> Record | None:
    """The most frequent case by a shorter way: sound, its first lease, nothing special."""
    if len(content) < _PLAIN.size:
        return None
    created, expires, rank, length, crc, size = _PLAIN.unpack_from(content)
    end = _PLAIN.size + size
    details = _decoded.get(content[_PLAIN.size : end])
    if length or expires or details is None:
        return None
    rest = memoryview(content)[_PLAIN.size :]
    if zlib.crc32(rest, zlib.crc32(content[16:20])) != crc:
        return None
    return Record(
        int.from_bytes(id_), content[end:], details, _TOP - rank, created, created,
        Status.LEASED, 1, leased_until,
    )  # fmt: skip


def decode_event(id_: bytes, state: bytes, content: bytes) -> tuple[Record, Status | None]:
    """The record of an event, and what it was if it is gone now, which capitals say."""
    record, sound = decode(id_, state, content)
    if not sound:
        record.content = b""  # Watchers get no rotten content.
    if not state[:1].isupper():
        return record, None
    was = record.status
    gone = msgspec.structs.replace(record, status=None)
    return gone, was


def _decode_tail(tail: bytes, created: int, uncounted: int) -> tuple[int, Past]:
    try:
        available, outcomes, reason, failure = _decode_past(tail)
    except (msgspec.MsgspecError, ValueError):
        return created, Past(uncounted=uncounted)
    return available, Past(outcomes, _text(reason), _text(failure), uncounted)


def _text(value: str | bool) -> str | None:
    return value if isinstance(value, str) else None


def _decode_content(
    stored: bytes, recipient: str | None, expires_at: int | None
) -> tuple[Details, bytes, bool]:
    try:
        length = _HEAD.unpack_from(stored)[3]
        start = _HEAD.size + length
        crc, size = _BODY.unpack_from(stored, start)
    except struct.error:
        return Details(BYTES, recipient=recipient, expires_at=expires_at), b"", False
    begin = start + _BODY.size
    raw, content = stored[begin : begin + size], stored[begin + size :]
    # Rank, recipient, and where the details end: whatever of it has rotted, the sum is another.
    sound = zlib.crc32(content, zlib.crc32(raw, zlib.crc32(stored[16:start]))) == crc
    return _decode_details(raw, recipient, expires_at), content, sound


def _decode_details(raw: bytes, recipient: str | None, expires_at: int | None) -> Details:
    known = _decoded.get(raw)
    if known is not None:
        if expires_at is None and recipient is None:
            return known
        return msgspec.structs.replace(known, expires_at=expires_at)
    try:
        fields: Any = _decode_fields(raw)
    except (msgspec.MsgspecError, ValueError):
        return Details(BYTES, recipient=recipient, expires_at=expires_at)
    kind, headers, sender, whom, key = (
        fields.content_type, fields.headers, fields.sender, fields.recipient, fields.key,
    )  # fmt: skip
    origin = None if fields.origin is None else int(fields.origin, 16)
    made = Details(kind, headers, sender, whom, key, expires_at, origin=origin)
    plain = all(each is None for each in (headers, whom, key, origin))
    if plain and expires_at is None and len(_decoded) < _SHARED:
        _decoded[raw] = made
    return made
