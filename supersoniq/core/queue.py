"""The machine of one queue, whole: what every store must do.

``places`` says where a message stands and what time does, ``flow`` how messages move through, and
``plain`` how a single one does of which nothing special is asked. Here is what people do with a
queue from the side: look into it, and manage it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supersoniq.core import rules
from supersoniq.core.errors import IllegalMove, MessageLeased, MessageNotFound
from supersoniq.core.explain import explain
from supersoniq.core.ids import format_id, parse_id
from supersoniq.core.keys import KeyUse, digest
from supersoniq.core.messages import EventKind, Message
from supersoniq.core.ops import Followed, Imported, QueueStats
from supersoniq.core.plain import Plain
from supersoniq.core.policy import Policy, Terms, changed
from supersoniq.core.states import Move, Status
from supersoniq.core.tally import figures, sizes
from supersoniq.core.timers import NEVER

__all__ = ["QueueMachine"]

_READY, _LEASED, _DEAD = Status.READY, Status.LEASED, Status.DEAD


class QueueMachine(Plain):
    """One queue, whole."""

    # Looking.

    def look(self, number: int, now: int) -> Message:
        """One message. O(1)."""
        self.tick(now)
        return self._find(number).snapshot(self.name, self._seal)

    def browse(
        self, status: Status | None, after: int | None, limit: int, now: int
    ) -> list[Message]:
        """Messages in publish order. O(n) in the messages passed over."""
        self.tick(now)
        start = 0
        if after is not None:
            sequence = self._place(after)
            if sequence is None:
                raise MessageNotFound(self.name, format_id(after))
            start = sequence
        page: list[Message] = []
        for record in self._table.after(start):
            if status is None or record.status is status:
                page.append(record.snapshot(self.name, self._seal))
                if len(page) >= limit:
                    break
        return page

    def explain(self, number: int, now: int) -> str:
        """Why the message is not being delivered. O(n) for a ready one, else O(1)."""
        now = self.tick(now)
        record = self._find(number)
        ahead = 0
        if record.status is _READY:
            ahead = self._line.ahead_of(record.priority, record.sequence)
            if record.details.recipient is not None:
                line = self._line_of(record)
                ahead += line.ahead_of(record.priority, record.sequence)
        message = record.snapshot(self.name, self._seal)
        return explain(
            message, now=now, until=record.until, paused_until=self._paused_until, ahead=ahead
        )

    def stats(self, now: int) -> QueueStats:
        """The queue at this moment. O(1)."""
        self.tick(now)
        return figures(self.name, self._tally, self._extra, self._paused_until)

    # Managing.

    def cancel(self, number: int, now: int) -> None:
        """Drop a message that nobody holds. Amortised O(1)."""
        now = self.tick(now)
        record = self._find(number)
        if record.status is _LEASED:
            raise MessageLeased(move=str(Move.CANCEL), status=str(_LEASED))
        source = record.status
        rules.cancel(record, self._tally)
        if source is _READY:
            self._left(record)
        self._moved(record, Move.CANCEL, now, gone_from=source)

    def redrive(self, numbers: Sequence[int] | None, limit: int | None, now: int) -> int:
        """Make dead messages ready again. O(n) in the queue's messages without ``numbers``."""
        now = self.tick(now)
        if numbers is None:
            dead = [record for record in self._table.after(0) if record.status is _DEAD]
        else:
            dead = [self._find(number) for number in dict.fromkeys(numbers)]
            for record in dead:
                if record.status is not _DEAD:
                    raise IllegalMove(move=str(Move.REDRIVE), status=str(record.status))
        dead = dead if limit is None else dead[:limit]
        for record in dead:
            rules.redrive(record, now, self._tally)
            self._moved(record, Move.REDRIVE, now)
        return len(dead)

    def purge(self, status: Status | None, numbers: Sequence[int] | None, now: int) -> int:
        """Drop all messages of a status. O(n) in the queue's messages without ``numbers``."""
        now = self.tick(now)
        if status is _LEASED:
            raise IllegalMove(move=str(Move.PURGE), status=str(_LEASED))
        wanted: tuple[Status, ...] = (Status.SCHEDULED, _READY, _DEAD)
        if status is not None:
            wanted = (status,)
        elif numbers is not None:
            wanted = (*wanted, Status.DONE)
        if numbers is None:
            doomed = [record for record in self._table.after(0) if record.status in wanted]
        else:
            found = [self._known(number) for number in dict.fromkeys(numbers)]
            doomed = [record for record in found if record is not None and record.status in wanted]
        for record in doomed:
            if numbers is not None:
                self._imports.forget(record.number(self._seal))
            source = record.status
            rules.purge(record, self._tally)
            if source is _READY:
                self._left(record)
            self._moved(record, Move.PURGE, now, gone_from=source)
        return len(doomed)

    def pause(self, until: int | None, duration: int | None, now: int) -> None:
        """Give no more leases. O(1)."""
        now = self.tick(now)
        if duration is not None:
            until = now + duration
        self._paused_until = NEVER if until is None else until
        self.next = min(self.next, self._paused_until)

    def resume(self, now: int) -> None:
        """Give leases again. O(1)."""
        self.tick(now)
        self._paused_until = None
        self.stirs += 1

    def configure(self, changes: Mapping[str, Any], now: int) -> Policy:
        """Change the policy, for what happens from now on. O(1)."""
        self.tick(now)
        self.policy = changed(self.policy, changes)
        self._terms = Terms.of(self.policy)
        return self.policy

    def import_(self, messages: Sequence[Message], now: int) -> Imported:
        """Store messages of another store, each once. O(log n) each."""
        now = self.tick(now)
        table, book = self._table, self._imports
        numbers = [parse_id(message.id) for message in messages]
        fresh: dict[int, Message] = {}
        for number, message in zip(numbers, messages, strict=True):
            if book.find(number, now, table) is not None:
                continue
            own = self._seal.sequence_of(number)
            if own is not None and table.get(own) is not None:
                raise IllegalMove(move=str(Move.IMPORT), status="of this very queue")
            fresh.setdefault(number, message)
        for number, message in fresh.items():
            self._sequence += 1
            record = rules.imported(message, self._sequence, now, self._terms, self._tally)
            book.note(number, self._sequence, now)
            self._note_key(message, number, now)
            if record.status is not None:
                table.append(record)
                self._moved(record, Move.IMPORT, now, fresh=True)
        if fresh:
            self.stirs += 1
        return Imported(self._seal.tag, len(fresh))

    def _note_key(self, message: Message, number: int, now: int) -> None:
        """A key of elsewhere holds for the rest of its window, unless it is in use here."""
        key, until = message.key, message.created_at + self._terms.dedup_window
        if key is not None and now < until and self._keys.find(key, now) is None:
            self._keys.prune(now)
            self._keys.note(key, KeyUse(number, digest(message.content), until))

    def follow(
        self, since: int | None, kinds: frozenset[EventKind], limit: int, now: int
    ) -> Followed:
        """Events after an offset. O(events kept)."""
        now = self.tick(now)
        events, offset = self._log.follow(since, kinds, limit, now)
        return Followed(events, offset, self._wake_in(now))

    # Checking.

    def _check(self) -> None:
        """Raise ``AssertionError`` unless every structure agrees with every other. O(n)."""
        self._table._check()
        lines = [self._line, *self._addressed.values()]
        for line in lines:
            line._check()
        counted = dict.fromkeys(Status, 0)
        for record in self._table.after(0):
            assert record.status is not None, "a record that is gone is still in the table"
            counted[record.status] += 1
        assert counted == sizes(self._tally), f"{counted} counted, {sizes(self._tally)} tallied"
        assert sum(map(len, lines)) == counted[_READY], "the lines miss ready records"
