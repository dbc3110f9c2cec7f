"""Operations that only look: at a message, at pages of them, at figures, events and the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from supersoniq.backends.redis import rows
from supersoniq.backends.redis.link import Argument
from supersoniq.backends.redis.operation import Managing
from supersoniq.backends.redis.work import Facts, Header
from supersoniq.core.explain import explain
from supersoniq.core.messages import Event, EventKind, Message
from supersoniq.core.ops import Followed, QueueStats
from supersoniq.core.policy import Policy, policy_from_data
from supersoniq.core.states import Status
from supersoniq.core.tally import Extra, figures, from_names
from supersoniq.core.timers import NEVER
from supersoniq.port import Result

__all__ = ["Browsing", "Describing", "Explaining", "Figuring", "Following", "Looking"]


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


class Describing(Managing):
    """The policy."""

    reads = True

    def arguments(self) -> list[Argument]:
        return ["describe"]

    def understand(self, header: Header, given: Any) -> Policy:
        return policy_from_data(msgspec.json.decode(given))


class Figuring(Managing):
    """Its figures."""

    reads = True

    def arguments(self) -> list[Argument]:
        return ["stats"]

    def understand(self, header: Header, given: Any) -> QueueStats:
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
