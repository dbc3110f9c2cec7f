"""Message ids and receipts: two small codes that need no table.

**Ids** are UUIDv7 (RFC 9562, section 5.7): 48 bits of creation time, then 74 that RFC leaves to
the maker. Here those hold a 34-bit tag of the queue and the message's 40-bit sequence in it, as the
RFC's section 6.2 suggests for counters. So an id leads to its message without an index, sorts in
publish order within its queue, and cannot meet another queue's id by chance: a tag is derived from
the store's random secret and from the queue's number, which is never used again.

**Receipts** name a *term*: one lease of one message. The text is the queue's number, 24 bits of
the time when the message was made, the sequence and the term, followed by 128 bits of a keyed
BLAKE2b (RFC 7693) over them. It is opaque and unguessable without the store's secret, never reused
since terms only grow, and worth nothing in another queue or store. Nothing has to be stored for it,
and it holds across processes and restarts. The time is for stores that can forget what they have
answered, in a failover say, and then give a sequence to another message: an old receipt must not
settle that one.
"""

from __future__ import annotations

import base64
import binascii
import struct
from hashlib import blake2b
from hmac import compare_digest
from typing import Protocol

from supersoniq.core.errors import InvalidId, LeaseLost

__all__ = ["MARK", "MAX_SEQUENCE", "Seal", "Stamp", "format_id", "id_number", "parse_id", "term_of"]

MAX_SEQUENCE = 2**40 - 1
"""Most messages that one queue can ever have had: 1,000 a second for 35 years."""

MARK = 2**24 - 1
"""The bits of a message's ``created_at``, in milliseconds, that its receipts name: 4.7 hours."""
_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_BODY = struct.Struct(">IQI")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Stamp(Protocol):
    """What a lease needs of its queue's ``Seal``, which may be in another process."""

    def prefix(self, created_at: int) -> int:
        """All of an id but its sequence, which is to be or-ed into the low 40 bits."""

    def receipt(self, sequence: int, term: int, created_at: int = 0) -> str:
        """The receipt of one lease."""


class Seal:
    """Makes and reads the ids and receipts of one queue.

    Args:
        secret: the store's secret, 32 random bytes made with the store.
        number: the queue's number in that store, never given to another queue.
    """

    __slots__ = ("_at", "_base", "_keyed", "_prefix", "number")

    def __init__(self, secret: bytes, number: int) -> None:
        self.number = number
        # Copied for each receipt, as taking in the key is half of the work.
        self._keyed = blake2b(key=secret, digest_size=16, person=b"receipt")
        digest = blake2b(number.to_bytes(8), key=secret, digest_size=8, person=b"queue").digest()
        tag = int.from_bytes(digest) >> 30  # 34 bits
        self._base = _VERSION | (tag >> 22) << 64 | _VARIANT | (tag & 0x3FFFFF) << 40
        self._at, self._prefix = 0, self._base

    def prefix(self, created_at: int) -> int:
        """All of an id but its sequence, which is to be or-ed into the low 40 bits. O(1)."""
        # Many messages are made in the same millisecond, and integers of 128 bits take their time.
        if created_at != self._at:
            self._at, self._prefix = created_at, created_at << 80 | self._base
        return self._prefix

    @property
    def tag(self) -> str:
        """What tells the queue from every other one, in any store: 128 bits in hexadecimal."""
        return self._mac(b"tag of %d" % self.number).hex()  # no receipt's body is that short

    def sequence_of(self, number: int) -> int | None:
        """The sequence in an id of this queue, or ``None`` for a foreign id. O(1)."""
        return number & MAX_SEQUENCE if (number ^ self._base) & _TAG_MASK == 0 else None

    def receipt(self, sequence: int, term: int, created_at: int = 0) -> str:
        """The receipt of one lease, of a message made at that instant. O(1)."""
        return self._receipt((created_at & MARK) << 40 | sequence, term)

    def _receipt(self, marked: int, term: int) -> str:
        body = _BODY.pack(self.number, marked, term)
        text = binascii.b2a_base64(body + self._mac(body), newline=False)
        return text.translate(_URL_SAFE, b"=").decode()

    def open(self, receipt: str) -> tuple[int, int, int]:
        """The sequence, the term and the lowest 24 bits of the message's ``created_at``. O(1).

        Raises:
            LeaseLost: this queue never made it.
        """
        try:
            raw = base64.urlsafe_b64decode(receipt + "=" * (-len(receipt) % 4))
        except (ValueError, binascii.Error):
            raw = b""
        body, mac = raw[:16], raw[16:]
        # The comparison of texts refuses other spellings of the same bytes.
        if len(raw) != 32 or not compare_digest(mac, self._mac(body)):
            raise LeaseLost("the receipt was not issued by this queue")
        number, marked, term = _BODY.unpack(body)
        if number != self.number or self._receipt(marked, term) != receipt:
            raise LeaseLost("the receipt was not issued by this queue")
        return marked & MAX_SEQUENCE, term, marked >> 40

    def _mac(self, body: bytes) -> bytes:
        hashing = self._keyed.copy()
        hashing.update(body)
        return hashing.digest()


def term_of(receipt: str) -> tuple[int, int, int] | None:
    """Whose lease a receipt says it is: the queue's number, the sequence and the term. O(1).

    Nothing is checked: for statistics. ``None`` if it does not look like a receipt.
    """
    try:
        raw = binascii.a2b_base64(receipt[:24].encode("ascii").translate(_STANDARD))
    except ValueError:
        return None
    if len(raw) != 18:
        return None
    number, marked, term = _BODY.unpack_from(raw)
    return number, marked & MAX_SEQUENCE, term


_STANDARD = bytes.maketrans(b"-_", b"+/")
_TAG_MASK = ((1 << 80) - 1) ^ MAX_SEQUENCE


def id_number(created_at: int, seal: Stamp, sequence: int) -> int:
    """The id of a message as a 128-bit number."""
    return seal.prefix(created_at) | sequence


def format_id(number: int) -> str:
    """The text form of an id (RFC 9562, section 4)."""
    text = number.to_bytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_id(text: object) -> int:
    """An id's number from its text form.

    Raises:
        InvalidId: not 36 characters of a UUIDv7 in lower or upper case.
    """
    if isinstance(text, str) and len(text) == 36:
        digits = text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
        dashes = text[8] + text[13] + text[18] + text[23]
        if dashes == "----" and digits.isascii() and digits.isalnum():
            try:
                number = int(digits, 16)
            except ValueError:
                pass
            else:
                if number & _VERSION_MASK == _VERSION | _VARIANT:
                    return number
    raise InvalidId("id", text, "is not the text of a UUIDv7")


_VERSION_MASK = 0xF << 76 | 0b11 << 62
