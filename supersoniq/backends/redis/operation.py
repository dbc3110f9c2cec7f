"""What all but publish, take and settle have in common: one operation, one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from supersoniq.backends.redis import rows
from supersoniq.backends.redis.scripts import verb_script
from supersoniq.backends.redis.work import Facts, Header, Work
from supersoniq.core.errors import MessageNotFound, QueueNotFound, SupersoniqError
from supersoniq.core.ids import format_id
from supersoniq.core.messages import Message, damaged
from supersoniq.port import Result

__all__ = ["Managing"]


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
        record, sound = rows.decode(*parts)
        message = record.snapshot(self.queue, header.seal)
        return message if sound else damaged(message)

    def not_found(self, number: int) -> MessageNotFound:
        """The error for an id."""
        return MessageNotFound(self.queue, format_id(number))
