"""The limit of open files: raised as far as the system lets it, and said where it is too little."""

from __future__ import annotations

import logging

import pytest

from supersoniq.servers.descriptors import OTHERS, make_room

resource = pytest.importorskip("resource", reason="this system has no such limits")
HARD = 4096


class Limit:
    """A process's limit of open files."""

    def __init__(self, soft: int, hard: int, *, fixed: bool = False) -> None:
        self.soft, self.hard, self.fixed = soft, hard, fixed

    def getrlimit(self, what: int) -> tuple[int, int]:
        assert what == resource.RLIMIT_NOFILE
        return self.soft, self.hard

    def setrlimit(self, what: int, limits: tuple[int, int]) -> None:
        assert what == resource.RLIMIT_NOFILE
        if self.fixed:
            raise ValueError("not allowed to raise maximum limit")
        assert limits[1] == self.hard
        assert self.hard == resource.RLIM_INFINITY or limits[0] <= self.hard
        self.soft = limits[0]


@pytest.mark.parametrize(
    ("limit", "wanted", "room", "soft"),
    [
        (Limit(1024, HARD), 100, 100, 1024),
        (Limit(1024, HARD), 1024 - OTHERS, 1024 - OTHERS, 1024),
        (Limit(1024, HARD), 2000, 2000, 2000 + OTHERS),
        (Limit(1024, HARD), 10_000, HARD - OTHERS, HARD),
        (Limit(1024, resource.RLIM_INFINITY), 10_000, 10_000, 10_000 + OTHERS),
        (Limit(resource.RLIM_INFINITY, resource.RLIM_INFINITY), 10_000, 10_000, None),
        (Limit(1024, HARD, fixed=True), 2000, 1024 - OTHERS, 1024),
        (Limit(64, 64), 2000, 0, 64),
    ],
)
@pytest.mark.parametrize("loud", [False, True])
def test_room(
    limit: Limit, wanted: int, room: int, soft: int | None, loud: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    one = Limit(limit.soft, limit.hard, fixed=limit.fixed)
    monkeypatch.setattr(resource, "getrlimit", one.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", one.setrlimit)
    with caplog.at_level(logging.INFO, "supersoniq.servers"):
        assert make_room(wanted, loud=loud) == room
    assert one.soft == (limit.soft if soft is None else soft)
    told = [(each.levelno, each.getMessage()) for each in caplog.records]
    if room == wanted:
        assert told == []
    else:
        level = logging.WARNING if loud else logging.INFO
        assert told == [(level, f"about {room} connections fit: this process may have "
                                f"{one.soft} files open (ulimit -n)")]  # fmt: skip
