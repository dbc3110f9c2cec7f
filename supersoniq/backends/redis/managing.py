"""Everything but publish, take and settle: one operation, one call or a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from supersoniq.backends.redis import rows
from supersoniq.backends.redis.link import Argument
from supersoniq.backends.redis.scripts import verb_script
from supersoniq.backends.redis.work import Facts, Header, Work
from supersoniq.core import ops
from supersoniq.core.errors import (
    IllegalMove,
    MessageLeased,
    MessageNotFound,
    QueueNotFound,
    StorageFull,
    SupersoniqError,
)
from supersoniq.core.explain import explain
from supersoniq.core.ids import MAX_SEQUENCE, format_id
from supersoniq.core.messages import Event, EventKind, Message
from supersoniq.core.ops import Followed
from supersoniq.core.policy import Policy, Terms, changed, policy_from_data
from supersoniq.core.states import ARCS, Move, Status
from supersoniq.core.tally import Extra, figures, from_names
from supersoniq.core.timers import NEVER
from supersoniq.port import Result

__all__ = ["MANAGING", "Managing", "policy_data", "terms_data"]

_ARCS = frozenset(map(str, ARCS))
_WAYS = {Status.SCHEDULED, Status.READY, Status.DEAD}


def policy_data(policy: Policy) -> bytes:
    """A policy as stored."""
    return msgspec.json.encode(policy)


def terms_data(policy: Policy) -> bytes:
    """A policy's terms as scripts read them: ``terms`` in base.lua has the order."""
    t = Terms.of(policy)
    backoff = t.backoff
    return msgspec.msgpack.encode(
        (
            t.lease, t.max_deliveries, t.dedup_window, t.keep_done, t.keep_dead, t.max_length,
            t.max_content, t.expiry_kills, backoff.initial, backoff.factor, backoff.maximum,
            backoff.jitter,
        )
    )  # fmt: skip


class Managing(Work):
    """One operation.

    Args:
        queue: its name.
        results: the batch's.
        facts: of the store.
        place: of the operation in the batch.
        op: the operation.
    """

    script = verb_script("manage")

    def __init__(
        self, queue: str, results: list[Result], facts: Facts, place: int, op: Any
    ) -> None:
        super().__init__(queue, results, facts)
        self.place = place
        self.op = op

    @property
    def places(self) -> Sequence[int]:
        """Where its operation stands in the batch."""
        return (self.place,)

    def missing(self) -> None:
        """Most things cannot be done to no queue."""
        self.results[self.place] = QueueNotFound(self.queue)

    def take_in(self, header: Header, given: Any) -> bool:
        """Understand an answer."""
        try:
            self.results[self.place] = self.understand(header, given)
        except SupersoniqError as error:
            self.results[self.place] = error
        return True

    def understand(self, header: Header, given: Any) -> Any:
        """What an answer says. Raises the operation's own error."""
        return None

    def message(self, header: Header, parts: Sequence[bytes]) -> Message:
        """A message as a script shows it."""
        record, _ = rows.decode(*parts)
        return record.snapshot(self.queue, header.seal)

    def not_found(self, number: int) -> MessageNotFound:
        """The error for an id."""
        return MessageNotFound(self.queue, format_id(number))


class Looking(Managing):
    """One message."""

    reads = True

    def arguments(self) -> list[Argument]:
        return ["look", *rows.name_of(self.op.id)]

    def understand(self, header: Header, given: Any) -> Message:
        if not given:
            raise self.not_found(self.op.id)
        return self.message(header, given)


class Explaining(Managing):
    """Why a message is not being delivered."""

    reads = True

    def arguments(self) -> list[Argument]:
        return ["explain", *rows.name_of(self.op.id)]

    def understand(self, header: Header, given: Any) -> str:
        if not given:
            raise self.not_found(self.op.id)
        ahead, paused, parts = given
        record, _ = rows.decode(*parts)
        until = None if not paused else NEVER if paused == b"never" else int(paused)
        message = record.snapshot(self.queue, header.seal)
        return explain(message, now=header.now, until=record.until, paused_until=until, ahead=ahead)


class Browsing(Managing):
    """A page of messages: in as many calls as it takes, since each looks at so many only."""

    reads = True

    def __init__(
        self, queue: str, results: list[Result], facts: Facts, place: int, op: Any
    ) -> None:
        super().__init__(queue, results, facts, place, op)
        self._from = 1
        self._after = () if op.after is None else rows.name_of(op.after)
        self._page: list[Message] = []

    def arguments(self) -> list[Argument]:
        status = "" if self.op.status is None else rows.LETTERS[self.op.status]
        return ["browse", status, self._from, self.op.limit - len(self._page), *self._after]

    def take_in(self, header: Header, given: Any) -> bool:
        if given == b"not found":
            self.results[self.place] = self.not_found(self.op.after)
            return True
        self._after = ()
        self._from, found = given
        for at in range(0, len(found), 3):
            self._page.append(self.message(header, found[at : at + 3]))
        self.results[self.place] = self._page
        return bool(self._from < 0 or len(self._page) >= self.op.limit)


class Cancelling(Managing):
    """Drop a message that nobody holds."""

    def arguments(self) -> list[Argument]:
        return ["cancel", *rows.name_of(self.op.id)]

    def understand(self, header: Header, given: Any) -> None:
        if given == b"not found":
            raise self.not_found(self.op.id)
        if given == b"leased":
            raise MessageLeased(move=str(Move.CANCEL), status=given.decode())
        if given != b"gone":
            raise IllegalMove(move=str(Move.CANCEL), status=given.decode())


class Redriving(Managing):
    """Make these dead messages ready again."""

    def arguments(self) -> list[Argument]:
        self._ids = list(dict.fromkeys(self.op.ids))
        limit = "" if self.op.limit is None else self.op.limit
        return ["redrive", limit, *(part for number in self._ids for part in rows.name_of(number))]

    def understand(self, header: Header, given: Any) -> int:
        word, number = given
        if word == b"not found":
            raise self.not_found(self._ids[number])
        if word != b"moved":
            raise IllegalMove(move=str(Move.REDRIVE), status=word.decode())
        return int(number)


class RedrivingAll(Managing):
    """Make dead messages ready again, in publish order, in as many calls as it takes."""

    def __init__(
        self, queue: str, results: list[Result], facts: Facts, place: int, op: Any
    ) -> None:
        super().__init__(queue, results, facts, place, op)
        self._from, self._moved = 1, 0

    def arguments(self) -> list[Argument]:
        limit = "" if self.op.limit is None else self.op.limit - self._moved
        return ["redrive_all", limit, self._from]

    def take_in(self, header: Header, given: Any) -> bool:
        self._from = given[0]
        self._moved += given[1]
        self.begun = self._moved > 0
        self.results[self.place] = self._moved
        return bool(self._from < 0 or self._moved == self.op.limit)


class Purging(Managing):
    """Drop messages of a status, those that are there when it begins."""

    def __init__(
        self, queue: str, results: list[Result], facts: Facts, place: int, op: Any
    ) -> None:
        super().__init__(queue, results, facts, place, op)
        self._from, self._last, self._dropped = 1, "", 0
        wanted = _WAYS if op.status is None else {op.status}
        self._letters = "".join(rows.LETTERS[status] for status in wanted)

    def arguments(self) -> list[Argument]:
        if self.op.ids is not None and self.op.status is not Status.LEASED:
            status = "" if self.op.status is None else rows.LETTERS[self.op.status]
            ids = dict.fromkeys(self.op.ids)
            return ["moved_on", status, *(part for number in ids for part in rows.name_of(number))]
        # Of leased ones none may go: then only whether there is such a queue is asked.
        letters = "" if self.op.status is Status.LEASED else self._letters
        return ["purge", letters or "-", self._from, self._last]

    def take_in(self, header: Header, given: Any) -> bool:
        if self.op.status is Status.LEASED:
            error = IllegalMove(move=str(Move.PURGE), status=str(Status.LEASED))
            self.results[self.place] = error
            return True
        if self.op.ids is not None:
            self.results[self.place] = given
            return True
        self._from, dropped, last = given
        self._last = last.decode()
        self._dropped += dropped
        self.begun = self._dropped > 0
        self.results[self.place] = self._dropped
        return bool(self._from < 0)


class Pausing(Managing):
    """Give no more leases."""

    def arguments(self) -> list[Argument]:
        until = "" if self.op.until is None else self.op.until
        return ["pause", until, "" if self.op.duration is None else self.op.duration]


class Resuming(Managing):
    """Give leases again."""

    def arguments(self) -> list[Argument]:
        return ["resume"]


class Deleting(Managing):
    """Drop the queue. ``number`` is what it was."""

    number: int | None = None

    def arguments(self) -> list[Argument]:
        return ["delete"]

    def understand(self, header: Header, given: Any) -> None:
        self.number = header.seal.number


class Describing(Managing):
    """The policy."""

    reads = True

    def arguments(self) -> list[Argument]:
        return ["describe"]

    def understand(self, header: Header, given: Any) -> Policy:
        return policy_from_data(msgspec.json.decode(given))


class Configuring(Managing):
    """Change the policy.

    What it is now is read, changed and checked here, and put back unless somebody else has changed
    it meanwhile.
    """

    makes = True

    def __init__(
        self, queue: str, results: list[Result], facts: Facts, place: int, op: Any
    ) -> None:
        super().__init__(queue, results, facts, place, op)
        self._base = b""
        self._policy = Policy()
        self._changed = Policy()

    def arguments(self) -> list[Argument]:
        self._changed = changed(self._policy, self.op.changes)
        number, base, _, _ = self.birth
        self.birth = (number, base, policy_data(self._changed), terms_data(self._changed))
        return ["configure", self._base]

    def take_in(self, header: Header, given: Any) -> bool:
        if given is not None:
            self._base = given
            self._policy = policy_from_data(msgspec.json.decode(given)) if given else Policy()
            return False
        self.results[self.place] = self._changed
        return True


class Importing(Managing):
    """Store messages of another store, each once."""

    script = verb_script("import")
    makes = True

    def arguments(self) -> list[Argument]:
        op = self.op
        number, base, _, _ = self.birth
        policy = changed(Policy(), op.policy)
        self.birth = (number, base, policy_data(policy), terms_data(policy))
        until = "never" if op.paused_until is None else op.paused_until
        sent: list[Argument] = [until if op.paused else ""]
        for message in op.messages:
            sent += rows.encode_message(message)
        return sent

    def understand(self, header: Header, given: Any) -> ops.Imported:
        if given == b"own":
            raise IllegalMove(move=str(Move.IMPORT), status="of this very queue")
        if given == b"used up":
            raise StorageFull(f"queue {self.queue!r} has used up its {MAX_SEQUENCE} sequences")
        return ops.Imported(header.seal.tag, given)


class Figuring(Managing):
    """Its figures."""

    reads = True

    def arguments(self) -> list[Argument]:
        return ["stats"]

    def understand(self, header: Header, given: Any) -> ops.QueueStats:
        row = {given[at].decode(): given[at + 1] for at in range(0, len(given), 2)}
        tally = from_names({name: int(row[name]) for name in row if ":" in name})
        extra = Extra(int(row.get("duplicates", 0)), int(row.get("stale", 0)))
        paused = row.get("paused", b"")
        until = None if not paused else NEVER if paused == b"never" else int(paused)
        return figures(self.queue, tally, extra, until)


class Following(Managing):
    """Events after an offset."""

    def arguments(self) -> list[Argument]:
        since = "" if self.op.since is None else self.op.since
        return ["follow", since, self.op.limit, *sorted(map(str, self.op.kinds))]

    def understand(self, header: Header, given: Any) -> Followed:
        offset, gap, found, cut = given
        events: list[Event] = []
        if gap is not None:
            events.append(Event(int(gap), EventKind.GAP, header.now, None))
        events += [self._event(header, int(at), fields) for at, fields in found]
        whole = len(events) < self.op.limit and not cut
        onwards = int(offset) if whole or not events else events[-1].offset
        return Followed(events, onwards, header.wake_in)

    def _event(self, header: Header, offset: int, fields: Sequence[bytes]) -> Event:
        _, kind, _, at, _, id_, _, state, _, content = fields
        record, was = rows.decode_event(id_, state, content)
        message = record.snapshot(self.queue, header.seal, was or Status.DONE)
        return Event(offset, EventKind(kind.decode()), int(at), message)


MANAGING: dict[type[Any], Callable[..., Managing]] = {
    ops.Look: Looking,
    ops.Browse: Browsing,
    ops.Cancel: Cancelling,
    ops.Redrive: lambda q, r, f, p, op: (RedrivingAll if op.ids is None else Redriving)(
        q, r, f, p, op
    ),
    ops.Purge: Purging,
    ops.Pause: Pausing,
    ops.Resume: Resuming,
    ops.Configure: Configuring,
    ops.Import: Importing,
    ops.Describe: Describing,
    ops.Delete: Deleting,
    ops.Stats: Figuring,
    ops.Explain: Explaining,
    ops.Follow: Following,
}
"""The work of each operation that stands alone."""
