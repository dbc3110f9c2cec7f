"""What all queues of a store have in common: its secret, and which queues there are.

A queue's keys are in one slot, and this is one key in another: so no script changes both. A queue
that is to be made gets its number here first. A name that was given out and never became a queue,
or was one, is left over when its process dies in between; whoever lists the queues strikes it out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import RedisError

from supersoniq.backends.redis import refusals, scripts
from supersoniq.backends.redis.link import Argument, Command, Link, Lost
from supersoniq.backends.redis.nodes import Nodes, redirection
from supersoniq.backends.redis.policies import policy_data, terms_data
from supersoniq.backends.redis.scripts import LAYOUT
from supersoniq.backends.redis.work import Facts, base_of
from supersoniq.core.errors import (
    BackendUnavailable,
    IncompatibleStore,
    OutcomeUnknown,
    SupersoniqError,
    TooManyQueues,
)
from supersoniq.core.ids import Seal
from supersoniq.core.policy import Policy

__all__ = ["MOST_ROUNDS", "Store"]

MOST_ROUNDS = 16
"""How often a Cluster may send a call on before it is given up."""
_GHOST = 3600
"""Seconds after which a name that was given out and never became a queue is struck out."""


class Store:
    """The store as a whole.

    Args:
        nodes: where the servers are.
        name: of the server, for errors.
        prefix: what all keys begin with.
        min_replicas: how many replicas must know that a number was given out.
        replica_patience: seconds to wait for them.
        max_queues: how many queues there may be; ``None``: any number.
    """

    def __init__(
        self,
        nodes: Nodes,
        name: str,
        prefix: str,
        *,
        min_replicas: int,
        replica_patience: float,
        max_queues: Callable[[], int | None],
    ) -> None:
        self.prefix = prefix
        self.facts = Facts("memory", b"", {})
        self._nodes = nodes
        self._name = name
        self._min_replicas = min_replicas
        self._replica_patience = replica_patience
        self._max_queues = max_queues
        self._keys: dict[str, tuple[str, ...]] = {}

    async def read(self) -> None:
        """Find out the store's secret, or make the store.

        Raises:
            BackendUnavailable: its server cannot be reached.
            IncompatibleStore: a newer SupersoniQ has made it.
        """
        try:
            version, secret = await self._call("open", LAYOUT, secrets.token_bytes(32))
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.problem) from error
        if not version.isdigit() or int(version) > LAYOUT:
            raise IncompatibleStore(
                f"{self._name} holds version {version.decode(errors='replace')} of its layout under"
                f" {self.prefix!r}; this is SupersoniQ for version {LAYOUT}: update it"
            )
        if secret != self.facts.secret:
            self.facts.secret = secret
            self.facts.seals.clear()

    def keys_of(self, queue: str) -> tuple[str, ...]:
        """All keys of a queue."""
        keys = self._keys.get(queue)
        if keys is None:
            if len(self._keys) > 10_000:
                self._keys.clear()
            keys = self._keys[queue] = scripts.keys_of(self.prefix, queue)
        return keys

    async def seal_of(self, queue: str, number: int, base: str) -> Seal:
        """The seal of a queue that a script has answered for.

        Raises:
            BackendUnavailable: it is of another store, or the store cannot be read.
        """
        seal = self.facts.seal_of(number, base)
        if seal is None:
            # The store was made anew since this process opened it: somebody emptied the server.
            await self.read()
            seal = self.facts.seal_of(number, base)
        if seal is None:
            problem = f"queue {queue!r} does not belong to the store at {self.prefix!r}"
            raise BackendUnavailable(problem)
        return seal

    async def reserve(self, queue: str) -> tuple[Argument, Argument, Argument, Argument]:
        """A number, base, policy and terms for a queue that is to be made.

        A number that is forgotten in a failover would be given to another queue, whose ids and
        receipts were then the same; and so would a store's secret, which is older. So a queue is
        made only when replicas know both.

        Raises:
            TooManyQueues: there may be no more of them. Names that are left over count.
            BackendUnavailable: the store cannot be reached, is made anew all the time, or has too
                few replicas.
        """
        most = self._max_queues()
        for _ in range(3):
            secret = self.facts.secret
            bound = "" if most is None else most
            number = await self._call("reserve", secret, queue, bound, replicated=True)
            if number == -2 and most is not None:
                raise TooManyQueues(queue, most)
            if number >= 0:
                policy = Policy()
                base = base_of(Seal(secret, number).prefix(0))
                return number, base, policy_data(policy), terms_data(policy)
            await self.read()
        raise BackendUnavailable("the store is made anew all the time")

    async def forget(self, queue: str, number: Argument) -> None:
        """Strike out a name that is no queue any more, if that number is still its."""
        try:
            await self._call("forget", queue, number)
        except SupersoniqError:
            pass  # Names that are left over are seen to by whoever lists them.

    async def queues(self) -> list[str]:
        """The names of all queues, sorted.

        Raises:
            BackendUnavailable: a server cannot be asked.
        """
        row = await self._call("list")
        names: dict[str, tuple[bytes, int]] = {}
        for at in range(0, len(row), 2):
            if row[at].startswith(b"="):
                number, _, given_out = row[at + 1].partition(b" ")
                names[row[at][1:].decode()] = (number, int(given_out))
        if not names:
            return []
        there, now = await self._present(list(names))
        for name in names.keys() - there:
            if now - names[name][1] > _GHOST:
                await self.forget(name, names[name][0])
        return sorted(there)

    async def _present(self, names: Sequence[str]) -> tuple[set[str], int]:
        """Which of those names are queues, and the time in seconds."""
        asked: dict[Link, list[str]] = {}
        for name in names:
            link = await self._nodes.link_of(self.keys_of(name)[0])
            asked.setdefault(link, []).append(name)
        there: set[str] = set()
        now = 0
        for link, group in asked.items():
            commands: list[Command] = [("EXISTS", self.keys_of(name)[0]) for name in group]
            try:
                answers = await link.run([*commands, ("TIME",)])
            except Lost as error:
                self._nodes.doubt(link)
                raise BackendUnavailable(f"the connection was lost: {error}") from error
            for answer in answers:
                if isinstance(answer, RedisError):
                    self._nodes.doubt(link)
                    raise refusals.meaning(answer, reads=True)()
            there.update(name for name, found in zip(group, answers, strict=False) if found)
            now = int(answers[-1][0])
        return there, now

    async def _call(self, *arguments: Any, replicated: bool = False) -> Any:
        """Call the script for what all queues have in common."""
        script = scripts.store_script()
        key = scripts.store_key(self.prefix)
        command: Command = ("EVALSHA", script.sha, 1, key, *arguments)
        link, asked = await self._nodes.link_of(key), False
        answer: Any = None
        wait: list[Command] = []
        longer = 0.0
        if replicated and self._min_replicas:
            longer = self._replica_patience
            wait = [("WAIT", self._min_replicas, round(1000 * longer))]
        replicas: Any = self._min_replicas
        for _ in range(MOST_ROUNDS):
            ask: list[Command] = [("ASKING",)] if asked else []
            try:
                answers = await link.run([*ask, command, *wait], longer)
            except (Lost, BackendUnavailable) as error:
                self._nodes.doubt(link)
                # Whatever it did, it is nothing that doing again, or not at all, could harm.
                raise BackendUnavailable(f"the connection was lost: {error}") from error
            answer = answers[len(ask)]
            replicas = answers[-1] if wait else replicas
            if (where := redirection(answer)) is not None:
                link, asked = await self._nodes.redirected(where), where.once
            elif not refusals.is_unknown_script(answer):
                break
            else:
                await link.load([script])
        if isinstance(answer, RedisError):
            self._nodes.doubt(link)
            raise refusals.meaning(answer, reads=True)()
        if isinstance(replicas, RedisError) or replicas < self._min_replicas:
            raise BackendUnavailable(
                f"{replicas} of {self._min_replicas} replicas know the new queue"
                f" after {self._replica_patience:g} s: it was not made"
            )
        return answer
