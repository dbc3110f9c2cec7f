"""Operations that change what is there, one a call or a few; and who does which operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from supersoniq.backends.redis import reading, rows
from supersoniq.backends.redis.link import Argument
from supersoniq.backends.redis.operation import Managing
from supersoniq.backends.redis.policies import policy_data, terms_data
from supersoniq.backends.redis.scripts import verb_script
from supersoniq.backends.redis.work import Facts, Header
from supersoniq.core import ops
from supersoniq.core.errors import IllegalMove, MessageLeased, StorageFull
from supersoniq.core.ids import MAX_SEQUENCE
from supersoniq.core.policy import Policy, changed, policy_from_data
from supersoniq.core.states import Move, Status
from supersoniq.port import Result

__all__ = ["MANAGING", "Deleting"]

_WAYS = {Status.SCHEDULED, Status.READY, Status.DEAD}


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


MANAGING: dict[type[Any], Callable[..., Managing]] = {
    ops.Look: reading.Looking,
    ops.Browse: reading.Browsing,
    ops.Cancel: Cancelling,
    ops.Redrive: lambda q, r, f, p, op: (RedrivingAll if op.ids is None else Redriving)(
        q, r, f, p, op
    ),
    ops.Purge: Purging,
    ops.Pause: Pausing,
    ops.Resume: Resuming,
    ops.Configure: Configuring,
    ops.Import: Importing,
    ops.Describe: reading.Describing,
    ops.Delete: Deleting,
    ops.Stats: reading.Figuring,
    ops.Explain: reading.Explaining,
    ops.Follow: reading.Following,
}
"""The work of each operation that stands alone."""
