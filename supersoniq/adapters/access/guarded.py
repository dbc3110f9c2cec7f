"""The engine as one caller has it: every operation is held against the scope of its token.

What is leased or told after the token has expired does not get out: it is given back. Releasing is
never refused, since it is the server that does it.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from supersoniq.api.engine import Engine
from supersoniq.api.observer import Observer
from supersoniq.api.waiting import Batch
from supersoniq.auth.quota import Quota
from supersoniq.auth.rights import admit, permitted, sign
from supersoniq.auth.tokens import Caller
from supersoniq.core.errors import AuthenticationFailed, PermissionDenied, SupersoniqError
from supersoniq.core.messages import Entry, Lease, Published
from supersoniq.core.ops import AnyOp, Publish, Queues, Settlement, Take
from supersoniq.port import Direct, Stir

__all__ = ["Guarded", "uncounted"]


class Guarded(Engine):
    """An engine behind a caller's scope. A test sees to it that it overrides all there is to call.

    Args:
        engine: what carries out operations.
        caller: whose they are; may be replaced by a newer token's.
        now: seconds since the epoch.
        quota: what callers' operations count against.
    """

    def __init__(
        self,
        engine: Engine,
        caller: Caller,
        now: Callable[[], float],
        quota: Quota | None = None,
    ) -> None:
        # Not the base's: there is nothing here but a view of another engine.
        self._engine = engine
        self._who = _Who(caller)
        self._now = now
        self._quota = quota
        self.backend = engine.backend
        self.direct = None if engine.direct is None else _Checked(self, engine.direct)
        self.time = engine.time
        self.listen = self._listen

    def is_of(self, engine: Engine) -> bool:
        """Whether it is that engine behind a check."""
        return self._engine is engine

    @property
    def caller(self) -> Caller:
        """Whose operations they are."""
        return self._who.caller

    @caller.setter
    def caller(self, caller: Caller) -> None:
        self._who.caller = caller

    @property
    def closing(self) -> bool:
        """Whether the engine is closing."""
        return self._engine.closing

    @property
    def deletions(self) -> int:
        """The engine's."""
        return self._engine.deletions

    @deletions.setter
    def deletions(self, number: int) -> None:
        self._engine.deletions = number

    def observe(self, observer: Observer) -> None:
        """Nothing: whoever observes sees everybody's."""

    def permitted(self, op: AnyOp) -> AnyOp:
        """The operation as the caller may do it.

        Raises:
            AuthenticationFailed: the token has expired.
            PermissionDenied: its scope does not allow that.
        """
        return permitted(self._who.caller, op, self._now())

    def admitted(self, op: AnyOp) -> AnyOp:
        """The same, and it is about to be carried out.

        Raises:
            AuthenticationFailed, PermissionDenied: as above.
            RateLimited: the caller has to wait.
        """
        allowed = permitted(self._who.caller, op, self._now())
        if self._quota is not None:
            self._quota.charge(self.caller, allowed)
        return allowed

    def admitted_one(self, queue: str, entry: Entry) -> Entry:
        """The same for one message to be published, without making an operation of it."""
        caller = self._who.caller
        admit(caller, Publish, queue, self._now())
        signed = sign(entry, caller.subject)
        if self._quota is not None:
            self._quota.charge(caller, Publish(queue, (signed,)))
        return signed

    async def call(self, op: AnyOp) -> Any:
        """Carry out an operation, if the caller may."""
        result = await self._engine.call(self.admitted(op))
        return self.seen(result) if op.__class__ is Queues else result

    def submit(
        self, op: AnyOp, done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Carry out an operation, if the caller may, and call back."""
        try:
            allowed = self.admitted(op)
        except SupersoniqError as error:
            failed(error)
            return
        if op.__class__ is Queues:
            self._engine.submit(allowed, lambda names: done(self.seen(names)), failed)
        else:
            self._engine.submit(allowed, done, failed)

    async def take(
        self,
        queue: str,
        limit: int,
        *,
        recipient: str | None = None,
        duration: int | None = None,
        wait: float | None = 0,
        max_bytes: int | None = None,
    ) -> Batch:
        """Lease messages, if the caller may, for as long as its token holds."""
        self.admitted(Take(queue, limit, recipient, duration))
        left = max(self.caller.expires - self._now(), 0.0)
        patience = left if wait is None else min(wait, left)
        batch = await self._engine.take(
            queue,
            limit,
            recipient=recipient,
            duration=duration,
            wait=patience,
            max_bytes=max_bytes,
        )
        return self._in_time(batch)

    def take_now(
        self,
        queue: str,
        limit: int,
        recipient: str | None,
        duration: int | None,
        max_bytes: int | None = None,
    ) -> Batch | None:
        """Lease what a direct backend has, if the caller may."""
        self.admitted(Take(queue, limit, recipient, duration))
        return self._engine.take_now(queue, limit, recipient, duration, max_bytes)

    def wait(
        self,
        queue: str,
        limit: int,
        recipient: str | None,
        duration: int | None,
        wait: float | None,
        max_bytes: int | None = None,
    ) -> Awaitable[Batch]:
        """Stand in line, if the caller may."""
        return self.take(
            queue,
            limit,
            recipient=recipient,
            duration=duration,
            wait=wait,
            max_bytes=max_bytes,
        )

    def lease_now(self, queue: str) -> tuple[Lease, int] | None:
        """Nothing: asked in this way, nobody would be asked who it is."""
        return None

    def release_soon(self, leases: Sequence[Lease]) -> None:
        """Give leases back."""
        self._engine.release_soon(leases)

    def settle_soon(self, queue: str, settlements: list[Settlement]) -> None:
        """Settle in the background: what the server itself gives back."""
        self._engine.settle_soon(queue, settlements)

    def sweep(self) -> None:
        """The engine's."""
        self._engine.sweep()

    def on_close(self, callback: Callable[[], Awaitable[None] | None]) -> Callable[[], None]:
        """Have a function called when the engine closes."""
        return self._engine.on_close(callback)

    async def close(self) -> None:
        """Nothing: the engine is not the caller's to close."""

    def _listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        if self._now() >= self.caller.expires:
            raise AuthenticationFailed("the token has expired")
        if not self.caller.scopes.see(queue):
            raise PermissionDenied(f"that takes a scope for {queue}")
        return self._engine.listen(queue, stir)

    def seen(self, names: list[str]) -> list[str]:
        """Those names of queues that the caller may know."""
        return [name for name in names if self.caller.scopes.see(name)]

    def _in_time(self, batch: Batch) -> Batch:
        if batch.leases and self._now() >= self.caller.expires:
            self._engine.release_soon(batch.leases)
            raise AuthenticationFailed("the token has expired")
        return batch


class _Checked(Direct):
    """A direct store behind the same check."""

    __slots__ = ("_direct", "_guarded")

    def __init__(self, guarded: Guarded, direct: Direct) -> None:
        self._guarded, self._direct = guarded, direct

    def behind(self, guarded: Guarded) -> _Checked:
        """The same store behind another check."""
        return _Checked(guarded, self._direct)

    def __call__(self, op: AnyOp) -> Any:
        result = self._direct(self._guarded.admitted(op))
        return self._guarded.seen(result) if isinstance(op, Queues) else result

    def publish(self, queue: str, entry: Entry) -> Published:
        return self._direct.publish(queue, self._guarded.admitted_one(queue, entry))


@dataclass
class _Who:
    """Whose an engine is, and all that came from it."""

    caller: Caller


def uncounted(engine: Engine) -> Engine:
    """The engine for what follows from a request that was counted: a stream's next event, a
    subscription's next lease. None of that counts; it is held against the same token, also when
    that is renewed.
    """
    if not isinstance(engine, Guarded):
        return engine
    twin = copy.copy(engine)
    twin._quota = None
    if isinstance(twin.direct, _Checked):
        twin.direct = twin.direct.behind(twin)
    return twin
