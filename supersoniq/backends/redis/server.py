"""What kind of server this is: asked once, at opening, and told plainly if it will not do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.exceptions import ResponseError

from supersoniq.backends.redis.link import Link, Lost
from supersoniq.core.errors import BackendUnavailable
from supersoniq.core.messages import Durability

__all__ = ["LEVELS", "OLDEST", "inspect"]

LEVELS: list[Durability] = ["memory", "os", "disk", "replicated"]
"""What a message survives, from least to most."""
OLDEST = (6, 2)
"""The oldest version of the server that has every command that scripts use."""


async def inspect(link: Link, *, noeviction: bool, min_replicas: int) -> Durability:
    """Look at a server, and give what a message survives there.

    Args:
        link: to the server.
        noeviction: somebody vouches for the eviction policy, where it cannot be asked.
        min_replicas: how many replicas a change waits for.

    Raises:
        BackendUnavailable: it cannot be reached, is too old, or would throw messages away.
    """
    asked = [("INFO",), *(("CONFIG", "GET", name) for name in _SETTINGS)]
    try:
        answers = await link.run(asked)
    except Lost as error:
        raise BackendUnavailable(f"the server does not answer: {error}") from error
    if isinstance(answers[0], ResponseError) and "INFO" not in str(answers[0]).upper():
        raise BackendUnavailable(f"the server refuses: {answers[0]}")
    info = _info(answers[0])
    settings = {
        name: answer[1].decode()
        for name, answer in zip(_SETTINGS, answers[1:], strict=True)
        if isinstance(answer, list) and len(answer) > 1
    }
    _check_version(info)
    if info.get("role") == "slave":
        raise BackendUnavailable("the server is a read-only replica; name the one that it follows")
    _check_eviction(settings.get("maxmemory-policy") or info.get("maxmemory_policy"), noeviction)
    if min_replicas:
        return "replicated"
    return _durability(settings, info)


_SETTINGS = ("maxmemory-policy", "appendonly", "appendfsync", "no-appendfsync-on-rewrite")


def _info(answer: Any) -> dict[str, str]:
    if not isinstance(answer, bytes):
        return {}
    lines = answer.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _check_version(info: Mapping[str, str]) -> None:
    version = info.get("redis_version")
    if version is None:
        return
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BackendUnavailable(
            f"the server is Redis {version}; {oldest} is the oldest that will do"
        )


def _check_eviction(policy: str | None, vouched: bool) -> None:
    if policy == "noeviction" or (policy is None and vouched):
        return
    if policy is None:
        raise BackendUnavailable(
            "the server tells neither by CONFIG nor by INFO what it does when its memory is full;"
            " if its maxmemory-policy is noeviction, say so with noeviction=True"
        )
    raise BackendUnavailable(
        f"the server's maxmemory-policy is {policy}: when its memory is full it would throw"
        " messages away; set it to noeviction (CONFIG SET maxmemory-policy noeviction)"
    )


def _durability(settings: Mapping[str, str], info: Mapping[str, str]) -> Durability:
    """What a message survives there.

    What is answered has been written to the append-only file, and synced or not. Snapshots come
    later: they promise nothing for what has just been published.
    """
    appends = settings.get("appendonly") == "yes" or (
        "appendonly" not in settings and info.get("aof_enabled") == "1"
    )
    if not appends:
        return "memory"
    synced = settings.get("appendfsync") == "always"
    return "disk" if synced and settings.get("no-appendfsync-on-rewrite") != "yes" else "os"
