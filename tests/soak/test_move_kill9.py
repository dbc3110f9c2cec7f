"""A mover that is killed with SIGKILL fifty times on its way: each message arrives once."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from tests.cli.conftest import shell as shell
from tests.cli.moves import move_and_kill, store
from tests.cli.shell import Shell
from tests.cli.test_move import PAIRS
from tests.moving import on_a_loop
from tests.soak.conftest import scaled

pytestmark = pytest.mark.soak


@pytest.mark.parametrize(("one", "two"), PAIRS)
@on_a_loop
async def test_killed_all_the_time(shell: Shell, one: str, two: str) -> None:
    with ExitStack() as stack:
        source, target = (stack.enter_context(store(shell, kind)) for kind in (one, two))
        await move_and_kill(shell, source, target, scaled(50), random.Random(f"{one} {two}"))
