"""Several Redis servers that belong together: a Cluster, or a main server with Sentinels."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

import redis
from redis.crc import key_slot

from tests.backends.redis_server import RedisServer
from tests.ports import free_port

__all__ = ["RedisCluster", "SentinelTrio", "wait"]

SLOTS = 16_384
BUS = 10_000
"""How far above a node's port the others speak to it."""


def wait(condition: Callable[[], object], what: str) -> None:
    """Wait for servers to come to terms with each other."""
    end = time.monotonic() + 60
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < end, what
        time.sleep(0.02)


class RedisCluster:
    """Nodes that share the slots.

    Args:
        masters: how many of them.
        replicas: of each.
        more: settings of every node.
    """

    def __init__(self, masters: int, replicas: int = 0, *more: str) -> None:
        # A node that stands still for longer is given up: at once where another one can take over,
        # never where a busy machine would be all that there is to notice.
        gone = "1000" if replicas else "60000"
        settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", gone, *more)
        count = masters * (1 + replicas)
        self.nodes = [RedisServer(*settings, port=free_port(beside=BUS)) for _ in range(count)]
        self.masters = self.nodes[:masters]
        self._replicas = replicas
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Of the Cluster, by one node only: it must find the others."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def __enter__(self) -> Self:
        for node in self.nodes:
            self._stack.enter_context(node)
        share = -(-SLOTS // len(self.masters))
        for place, node in enumerate(self.nodes):
            with node.client() as client:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
                if node in self.masters:
                    slots = range(place * share, min((place + 1) * share, SLOTS))
                    client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        wait(lambda: all(self._well(node) for node in self.nodes), "the Cluster is not well")
        for place, node in enumerate(self.nodes[len(self.masters) :]):
            with node.client() as client:
                main = self.id_of(self.masters[place % len(self.masters)])
                wait(lambda: client.execute_command("CLUSTER", "REPLICATE", main), "replicate")  # noqa: B023  # called here
        for node in self.nodes[len(self.masters) :]:
            wait(lambda: self._follows(node), "a replica does not follow")  # noqa: B023  # called here
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _well(self, node: RedisServer) -> bool:
        with node.client() as client:
            info = client.execute_command("CLUSTER", "INFO")
            slots = client.execute_command("CLUSTER", "SLOTS")
        known = info["cluster_known_nodes"] if isinstance(info, dict) else None
        well = info["cluster_state"] == "ok" if isinstance(info, dict) else b"state:ok" in info
        everybody = str(known) == str(len(self.nodes)) or known is None
        return bool(well and everybody and len(slots) == len(self.masters))

    def _follows(self, node: RedisServer) -> bool:
        with node.client() as client:
            info = client.info("replication")
        return bool(info["role"] == "slave" and info["master_link_status"] == "up")

    def id_of(self, node: RedisServer) -> str:
        """A node's name in the Cluster."""
        with node.client() as client:
            return _text(client.execute_command("CLUSTER", "MYID"))

    def master_of(self, queue: str, prefix: str = "supersoniq") -> RedisServer:
        """Who has a queue."""
        slot = key_slot(f"{prefix}:{{{queue}}}:queue".encode())
        share = -(-SLOTS // len(self.masters))
        return self.masters[slot // share]

    def main_of(self, queue: str, prefix: str = "supersoniq") -> RedisServer:
        """Who has a queue now, whoever had it at first: as most nodes see it."""
        slot = key_slot(f"{prefix}:{{{queue}}}:queue".encode())
        ports = [
            port
            for node in self.nodes
            for first, last, port in self._ranges(node)
            if first <= slot <= last
        ]
        (found,) = (node for node in self.nodes if node.port == max(ports, key=ports.count))
        return found

    def _ranges(self, node: RedisServer) -> list[tuple[int, int, int]]:
        """First and last slot, and the port of who has them, as a node sees it."""
        try:
            with node.client() as client:
                rows = client.execute_command("CLUSTER", "SLOTS")
        except (redis.RedisError, OSError):
            return []
        if isinstance(rows, dict):
            return [(*slots, who["primary"][1]) for slots, who in rows.items()]
        return [(row[0], row[1], row[2][1]) for row in rows]

    def settled(self) -> bool:
        """Whether all agree who has what, and each main server has a replica in step."""
        mains = {port for _, _, port in self._ranges(self.nodes[0])}
        for node in self.nodes:
            if not self._well(node) or {port for _, _, port in self._ranges(node)} != mains:
                return False
            if node.port in mains:
                if _replicas_in_step(node) < 1:
                    return False
            elif not self._follows(node):
                return False
        return True

    def migrate(self, queue: str, source: RedisServer, target: RedisServer) -> None:
        """Move a queue's slot, as redis-cli does it."""
        slot = key_slot(f"x:{{{queue}}}:queue".encode())
        with source.client() as old, target.client() as new:
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 3):
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
                time.sleep(0.005)
            for client in (new, old):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))


def _replicas_in_step(server: RedisServer) -> int:
    """How many replicas a main server has that it need not bring up to date."""
    with server.client() as client:
        info = client.info("replication")
    if info["role"] != "master":
        return 0
    states = [info[f"slave{n}"]["state"] for n in range(info["connected_slaves"])]
    return states.count("online")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


class SentinelTrio:
    """A main server, a replica, and three Sentinels that watch over them.

    Args:
        more: settings of both servers.
    """

    def __init__(self, *more: str) -> None:
        self._stack = ExitStack()
        self.main = RedisServer(*more, port=free_port())
        self.replica = RedisServer(*more, port=free_port())
        self.sentinels = [RedisServer(port=free_port(), sentinel=self._watch()) for _ in range(3)]

    def _watch(self) -> str:
        return (
            f"sentinel monitor jobs 127.0.0.1 {self.main.port} 2\n"
            "sentinel down-after-milliseconds jobs 500\n"
            "sentinel failover-timeout jobs 3000\n"
        )

    @property
    def url(self) -> str:
        """By all Sentinels."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/jobs"

    def __enter__(self) -> Self:
        for server in (self.main, self.replica):
            self._stack.enter_context(server)
        with self.replica.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", self.main.port)
        wait(self._in_step, "the replica does not follow")
        for sentinel in self.sentinels:
            self._stack.enter_context(sentinel)
        wait(lambda: all(map(self._knows_all, self.sentinels)), "the Sentinels do not agree")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def main_now(self) -> RedisServer:
        """The server that most Sentinels name, whoever was it at first."""
        named: list[int] = []
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                address = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "jobs")
            named.append(int(address[1]))
        (found,) = (s for s in (self.main, self.replica) if s.port == max(named, key=named.count))
        return found

    def settled(self) -> bool:
        """Whether the main server has the other as a replica in step, and all Sentinels know."""
        return _replicas_in_step(self.main_now()) == 1 and all(map(self._knows_all, self.sentinels))

    def _in_step(self) -> bool:
        with self.replica.client() as client:
            return str(client.info("replication")["master_link_status"]) == "up"

    def _knows_all(self, sentinel: RedisServer) -> bool:
        with sentinel.client() as client:
            facts = client.execute_command("SENTINEL", "MASTERS")
        (main,) = facts.values() if isinstance(facts, dict) else facts
        if isinstance(main, list):
            main = dict(zip(main[::2], main[1::2], strict=True))
            main = {_text(name): _text(value) for name, value in main.items()}
        return int(main["num-slaves"]) == 1 and int(main["num-other-sentinels"]) == 2
