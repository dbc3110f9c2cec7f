"""Which server a key is on: one server, the one that Sentinels name, or a node of a Cluster.

``link_of`` gives the link to whoever has a key now. When something went wrong there, ``doubt`` says
so, and the next call looks again: nothing is asked in advance and nothing is sent twice. In a
Cluster a node that does not have a slot any more says who has it (MOVED), or who has this part of
it while it is being moved (ASK); both come before anything was done, so those calls are sent again.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from redis.asyncio import BlockingConnectionPool
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError

from supersoniq.backends.redis.link import Link, Lost
from supersoniq.core.errors import BackendUnavailable

__all__ = [
    "Address",
    "Cluster",
    "MakePool",
    "Nodes",
    "Redirection",
    "Sentinels",
    "Single",
    "redirection",
]

Address = tuple[str, int]
MakePool = Callable[[Address], BlockingConnectionPool]


class Redirection(NamedTuple):
    """Where a node of a Cluster sends one on."""

    address: Address
    slot: int
    once: bool
    """Just this call: its slot is being moved there. Else the slot is there for good."""


def redirection(answer: object) -> Redirection | None:
    """Whether an answer sends one on. Nothing has been done then."""
    if isinstance(answer, AskError):
        # redis-py makes a moved slot a kind of an asked one.
        once = not isinstance(answer, MovedError)
        return Redirection((answer.host, answer.port), answer.slot_id, once)
    return None


class Nodes(ABC):
    """The servers of one store."""

    @abstractmethod
    async def link_of(self, key: str) -> Link:
        """The link to the server that has a key.

        Raises:
            BackendUnavailable: nobody has it now.
        """

    @abstractmethod
    async def all(self) -> list[Link]:
        """Links to every server that takes writes.

        Raises:
            BackendUnavailable: they cannot be found.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let what is under way finish, and disconnect."""

    def doubt(self, link: Link) -> None:  # noqa: B027  # one server is where it is
        """Something went wrong there: look again who has its keys."""

    async def redirected(self, where: Redirection) -> Link:
        """The link to where a node of a Cluster has sent one on."""
        host, port = where.address
        problem = f"the server is a node of a Cluster, which sends us to {host}:{port}"
        raise BackendUnavailable(f"{problem}; use redis+cluster://")


class Single(Nodes):
    """One server.

    Args:
        pool: its connections.
        patience: seconds to wait for it.
    """

    def __init__(self, pool: BlockingConnectionPool, patience: float) -> None:
        self._link = Link(pool, patience)

    async def link_of(self, key: str) -> Link:
        return self._link

    async def all(self) -> list[Link]:
        return [self._link]

    async def close(self) -> None:
        await self._link.close()


class _Many(Nodes):
    """Servers by their addresses, some of which are there to be asked about the others."""

    def __init__(self, seeds: Sequence[Address], make_pool: MakePool, patience: float) -> None:
        self._seeds = list(seeds)
        self._make_pool = make_pool
        self._patience = patience
        self._links: dict[Address, Link] = {}
        self._looking = asyncio.Lock()

    def _link(self, address: Address) -> Link:
        found = self._links.get(address)
        if found is None:
            found = self._links[address] = Link(self._make_pool(address), self._patience)
        return found

    async def close(self) -> None:
        links, self._links = self._links, {}
        for link in links.values():
            await link.close()


class Sentinels(_Many):
    """The server that a quorum of Sentinels takes for the main one.

    Args:
        seeds: of Sentinels.
        name: by which they know it.
        make_pool: makes the server's connections.
        make_sentinel_pool: makes a Sentinel's.
        patience: seconds to wait for any of them.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        name: str,
        make_pool: MakePool,
        make_sentinel_pool: MakePool,
        patience: float,
    ) -> None:
        super().__init__(seeds, make_pool, patience)
        self._name = name
        self._make_sentinel_pool = make_sentinel_pool
        self._main: Link | None = None

    async def link_of(self, key: str) -> Link:
        if self._main is None:
            async with self._looking:
                if self._main is None:
                    self._main = self._link(await self._find())
        return self._main

    async def all(self) -> list[Link]:
        return [await self.link_of("")]

    def doubt(self, link: Link) -> None:
        if link is self._main:
            self._main = None

    async def _find(self) -> Address:
        problems: list[str] = []
        for seed in list(self._seeds):
            sentinel = Link(self._make_sentinel_pool(seed), min(self._patience, 1.0))
            try:
                found = await self._ask(sentinel)
            except (Lost, RedisError, BackendUnavailable) as error:
                problems.append(f"{seed[0]}:{seed[1]}: {error}")
            else:
                # Who knew it this time is asked first the next time.
                self._seeds.remove(seed)
                self._seeds.insert(0, seed)
                return found
            finally:
                await sentinel.close()
        raise BackendUnavailable(f"no Sentinel names {self._name!r}: {'; '.join(problems)}")

    async def _ask(self, sentinel: Link) -> Address:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
        (answer,) = await sentinel.run([command])
        if isinstance(answer, RedisError):
            raise answer
        if answer is None:
            raise RedisError("it does not know that name")
        address = (answer[0].decode(), int(answer[1]))
        # A Sentinel that was away may be behind: the server itself must say that it takes writes.
        (role,) = await self._link(address).run([("ROLE",)])
        if isinstance(role, RedisError) or role[0] != b"master":
            raise RedisError(
                f"it names {address[0]}:{address[1]}, which is not the main server now"
            )
        return address


class Cluster(_Many):
    """The nodes of a Redis Cluster.

    Args:
        seeds: of nodes.
        make_pool: makes a node's connections.
        patience: seconds to wait for any of them.
    """

    def __init__(self, seeds: Sequence[Address], make_pool: MakePool, patience: float) -> None:
        super().__init__(seeds, make_pool, patience)
        self._slots: dict[int, Link] = {}
        self._doubted = True

    async def link_of(self, key: str) -> Link:
        if self._doubted:
            await self._look()
        found = self._slots.get(key_slot(key.encode()))
        if found is None:
            self._doubted = True
            raise BackendUnavailable("no node of the Cluster has that slot now")
        return found

    async def all(self) -> list[Link]:
        if self._doubted:
            await self._look()
        return list(dict.fromkeys(self._slots.values()))

    def doubt(self, link: Link) -> None:
        self._doubted = True

    async def redirected(self, where: Redirection) -> Link:
        link = self._link(where.address)
        if not where.once:
            self._slots[where.slot] = link
        return link

    async def _look(self) -> None:
        async with self._looking:
            if not self._doubted:
                return
            problems: list[str] = []
            for address in dict.fromkeys([*self._links, *self._seeds]):
                try:
                    (answer,) = await self._link(address).run([("CLUSTER", "SLOTS")])
                    if isinstance(answer, RedisError):
                        raise answer
                except (Lost, RedisError, BackendUnavailable) as error:
                    problems.append(f"{address[0]}:{address[1]}: {error}")
                    continue
                self._slots = {
                    slot: self._link((main[0].decode() or address[0], int(main[1])))
                    for first, last, main, *_ in answer
                    for slot in range(first, last + 1)
                }
                self._doubted = False
                return
            raise BackendUnavailable(f"no node of the Cluster answers: {'; '.join(problems)}")
