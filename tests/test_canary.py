"""The search for what must not be told finds it."""

from __future__ import annotations

import logging

import pytest

from supersoniq import BackendUnavailable
from tests.auth import tokens
from tests.canary import Canary
from tests.canary import canary as running


@pytest.mark.parametrize(
    "told",
    [
        "the message was order-17-of-ada@example.com",
        f"Authorization: Bearer {tokens.good()}",
        f"the key is {tokens.SECRET.decode()}",
    ],
)
def test_a_leak_is_found(told: str) -> None:
    for tell in ("log", "error"):
        canary = Canary()
        canary.published({"to": "order-17-of-ada@example.com"})
        canary.published(b"x" * 5000)
        canary.tell("queue 'emails' is full: xxxxxxxxxxxxxxxxxxxxxx")
        assert canary.leaks() == []
        if tell == "log":
            canary.handle(logging.makeLogRecord({"msg": "told: %s", "args": (told,)}))
        else:
            canary.made(BackendUnavailable(told))
        assert len(canary.leaks()) == 1
        canary.begin()
        assert canary.leaks() == []
    running.begin()  # what was told here was told on purpose
