"""The Lua scripts: the table's moves, declared keys, bounded calls, mutants that are caught."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import supersoniq.backends.redis as package
from supersoniq.backends.redis import flow, operation, scripts
from supersoniq.backends.redis.scripts import Script, keys_of, verb_script
from supersoniq.core import ops
from supersoniq.core.messages import EventKind, prepare
from supersoniq.core.ops import Outcome
from supersoniq.core.states import ARCS, Status
from supersoniq.testing import check
from supersoniq.testing.simulate import simulate
from supersoniq.testing.twins import Pick, Twins
from tests.backends.redis_server import needs_server, shared
from tests.backends.test_redis_conformance import RedisHarness

pytestmark = needs_server


class Hasty(RedisHarness):
    patience = 1.0  # nobody is woken by what is wrong there


LUA = Path(package.__file__).parent / "lua"
KINDS: dict[str, list[Any]] = {
    "publish": [flow.Publishing],
    "take": [flow.Taking],
    "settle": [flow.Settling],
    "manage": [flow.Corrupting, operation.Managing],
}


def test_the_moves_are_those_of_the_state_table() -> None:
    """Every arc that is written out, or put together from a status, is in the table."""
    text = "".join(path.read_text() for path in LUA.glob("*.lua"))
    arcs = set(map(str, ARCS))
    written = set(re.findall(r"'([a-z]+:[a-z-]+:[a-z-]+)'", text))
    assert written <= arcs
    moves = {arc.partition(":")[0] for arc in written} | set(re.findall(r"'([a-z]+):' ?\.\.", text))
    moves |= set(re.findall(r"'([a-z]+):leased:' ?\.\.", text))
    assert moves == {arc.partition(":")[0] for arc in arcs}


def test_scripts_touch_no_keys_but_those_they_are_given() -> None:
    """By what the server says that it was asked to do."""
    harness = RedisHarness()
    prefix = harness._prefix
    allowed = {key for queue in "ab" for key in keys_of(prefix, queue)}
    mark = f"end of {prefix}"
    with shared().client() as client, client.monitor() as monitor:
        simulate(lambda: harness, 600, 5)
        with shared().client() as other:
            other.echo(mark)
        touched: set[str] = set()
        for entry in monitor.listen():
            name, _, rest = str(entry["command"]).partition(" ")
            if rest == mark:
                break
            if entry["client_type"] == "lua" and name not in ("TIME", "PUBLISH"):
                # Of UNLINK all that follow are keys; of all else, the first one.
                touched.update(rest.split() if name == "UNLINK" else [rest.split()[0]])
    assert touched == allowed | {scripts.store_key(prefix)}


def with_scripts(monkeypatch: pytest.MonkeyPatch, made: dict[str, Script]) -> None:
    for verb, script in made.items():
        for kind in KINDS[verb]:
            monkeypatch.setattr(kind, "script", script)


def test_work_that_is_too_much_for_one_call_takes_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """What time brings, and what looks at all messages, with the machine beside it."""
    small = {verb: verb_script(verb, steps=10, walk=2) for verb in KINDS}
    with_scripts(monkeypatch, small)

    async def main() -> None:
        twins = Twins(RedisHarness())
        await twins.open()
        await twins.simple(ops.Configure("q", {"max_deliveries": 1, "keep_dead": 60}))
        await twins.new_follower("q", frozenset(EventKind) - {EventKind.GAP})
        for n in range(6):
            late = [prepare(b"%d" % k, delay=5, ttl=200, priority=k % 3) for k in range(50)]
            await twins.publish("q", [*late, *(prepare(b"%d" % n) for _ in range(250))])
        await twins.take("q", 1000)
        await twins.settle("q", [Pick(h, Outcome.NACK) for h in list(twins.handles)[:100]])
        await twins.advance(30_000)  # hundreds lapse and die, hundreds are due
        for status in (None, *Status):
            await twins.simple(ops.Browse("q", status, None, 5000))
            await twins.simple(ops.Browse("q", status, twins.ids[40], 50))
        await twins.simple(ops.Redrive("q", None, 77))
        await twins.take("q", 60)
        await twins.simple(ops.Purge("q", Status.READY))
        await twins.simple(ops.Purge("q"))
        await twins.follow(twins.followers[0], 100_000)
        await twins.publish("q", [prepare(b"", ttl=1) for _ in range(95)])
        await twins.advance(300_000)
        await twins.follow(twins.followers[0], 100_000)
        await twins.drain()
        await twins.close()

    asyncio.run(main())


def test_walks_with_a_short_log_and_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from supersoniq.core import log

    monkeypatch.setattr(log, "CAPACITY", 12)
    with_scripts(monkeypatch, {v: verb_script(v, capacity=12, steps=3, walk=1) for v in KINDS})
    simulate(RedisHarness, 2000, 3)


# In each, one line of Lua is wrong in a way that real queues have been, and the suite says at
# which guarantee. A fragment that is not there any more fails, too.
MUTANTS = {
    "delivers twice": (
        "take", "call('ZREMRANGEBYRANK', LINE, 0, common - 1)", "local _ = 0", "g02"),
    "does not fence": (
        "settle", "'l' .. sub(item, 11, 14)", "sub(state, 1, 5)", "g03"),
    "late deadlines": ("rules", "or now < queue.next or", "or now <= queue.next or", "g03"),
    "ignores priority": ("publish", "= sub(blob, 1, 2) .. id", "= '\\0\\0' .. id", "g04"),
    "loses the place": (
        "records", "local member = pack('>I2', record.rank) .. record.id",
        "local member = pack('>I2', record.rank + 1) .. record.id", "g04"),
    "counts releases": ("rules", "record.uncounted + 1", "record.uncounted + 0", "g05"),
    "immortal on lapse": (
        "rules", "local dead = at_limit(record)", "local dead = false", "g05"),
    "ignores conflicts": ("publish", "known ~= digest", "known == nil", "g06"),
    "long window": ("publish", "if now >= ends then", "if now > ends then", "g06"),
    "forgets keys on refusal": (
        "publish", "if problem then return problem end",
        "if problem then call('DEL', USES) return problem end", "g06"),
    "miscounts": (
        "take", "count('lease:ready:leased', taken)", "count('lease:ready:leased')", "g07"),
    "overfills": ("publish", "length + new > t.max_length", "length > t.max_length", "g08"),
    "wakes nobody elsewhere": ("base", "call('PUBLISH',", "local _ = (", "g09"),
    "deaf to returns": (
        "records", "call('ZADD', line, 0, member)\n            queue.stirs = queue.stirs + 1",
        "call('ZADD', line, 0, member)", "g09"),
    "keeps leases of the dead": (
        "rules", "local done = each(LEASED, {l = true}, lapse) and", "local done =", "g10"),
    "delivers corruption": (
        "manage", "if record and record.status == 'l' and", "if false and", "g11"),
    "leaks recipients": (
        "publish", "elseif sub(blob, 3, 4) == '\\0\\0' then", "elseif true then", "recipient"),
    "forgets policy": ("manage", "change('terms', ARGV[6])", "local _ = 0", "policy"),
    "silent gaps": ("manage", "if since < begun or", "if", "follow"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_script_that_is_wrong_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part, right, wrong, guarantee = MUTANTS[name]
    read = scripts._read

    def mutated(which: str) -> str:
        text = read(which)
        if which != part:
            return text
        assert right in text
        return text.replace(right, wrong)

    monkeypatch.setattr(scripts, "_read", mutated)
    with_scripts(monkeypatch, {verb: verb_script.__wrapped__(verb) for verb in KINDS})
    report = asyncio.run(check(Hasty, (guarantee,)))
    assert report.broken == {guarantee}, report
