"""Messages that come from other stores: as they stood there, each once, at home from then on."""

from __future__ import annotations

import asyncio
import time

import msgspec

from supersoniq.core import ops
from supersoniq.core.errors import IllegalMove, KeyConflict, MessageNotFound
from supersoniq.core.ids import format_id, parse_id
from supersoniq.core.imports import REMEMBERED
from supersoniq.core.messages import EventKind, Message, prepare
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.core.tally import conserved
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


def _message(t: Trial, n: int = 1, **fields: object) -> Message:
    """A message of another store, ready unless fields say otherwise."""
    created = t.clock.now() - 1_000
    message = Message(
        id=format_id(created << 80 | 0x7 << 76 | 0b10 << 62 | 0xABC << 40 | n),
        queue="q",
        content=b"%d" % n,
        content_type="text/plain",
        headers={"a": "b"},
        sender="ann",
        recipient=None,
        priority=0,
        key=None,
        created_at=created,
        available_at=created,
        expires_at=None,
        status=Status.READY,
        deliveries=0,
        reason=None,
    )
    return msgspec.structs.replace(message, **fields)


def _every_kind(t: Trial) -> list[Message]:
    now = t.clock.now()
    return [
        _message(t, 1, priority=7, deliveries=2, reason="broke", key="k", expires_at=now + 90_000),
        _message(t, 2, status=Status.SCHEDULED, available_at=now + 5_000, recipient="bob"),
        _message(t, 3, status=Status.DEAD, deliveries=3, reason="rejected: no good"),
        _message(t, 4, status=Status.DEAD, reason="expired", expires_at=now - 10),
        _message(t, 5, status=Status.DONE, deliveries=1),
        _message(t, 6, content=bytes(range(256)), content_type="x/y", headers={}, sender=None),
    ]


async def import_keeps_every_field(t: Trial) -> None:
    """In every status; and what is kept can be looked up and browsed by the id it had."""
    messages = _every_kind(t)
    policy = {"keep_done": 100, "max_deliveries": 5}
    imported = await t.do(ops.Import("q", messages, policy))
    expect(imported.stored, len(messages), "stored of an import")
    expect(await t.browse(), messages, "what an import stored")
    for message in messages:
        expect(await t.look(parse_id(message.id)), message, "a message looked up")
        await t.do(ops.Explain("q", parse_id(message.id)))
    after = parse_id(messages[2].id)
    expect(await t.browse(None, after, 2), messages[3:5], "a page after an imported id")
    described = await t.do(ops.Describe("q"))
    expect((described.keep_done, described.max_deliveries), (100, 5), "the policy")
    stats = await t.stats()
    expect(
        (stats.published, stats.ready, stats.scheduled, stats.dead, stats.done, stats.acked),
        (6, 2, 1, 2, 1, 1),
        "figures after an import",
    )
    that(conserved(stats), f"messages are not conserved: {stats}")


async def import_stores_each_message_once(t: Trial) -> None:
    """However often it comes, also when it has been acknowledged and forgotten long ago."""
    messages = [_message(t, n) for n in range(1, 4)]
    expect((await t.do(ops.Import("q", messages[:2]))).stored, 2, "stored at first")
    expect((await t.do(ops.Import("q", messages))).stored, 1, "stored of one new one")
    twice = [_message(t, 4), _message(t, 4)]
    expect((await t.do(ops.Import("q", twice))).stored, 1, "stored of the same one twice")
    await t.ack(*await t.take(10))
    t.clock.advance(ms=REMEMBERED - 1)
    expect((await t.do(ops.Import("q", messages))).stored, 0, "stored of finished ones")
    expect(await t.contents(), [], "deliveries of finished ones")
    await t.figures("after repeated imports", published=4, acked=4)


@needs("lasting")
async def import_remembers_across_openings(t: Trial) -> None:
    """A mover that was killed finds what it has stored, and its own place."""
    messages = [_message(t, n) for n in range(1, 4)]
    await t.do(ops.Import("q", messages))
    await t.ack(await t.one())
    await t.reopen(crash=True)
    expect((await t.do(ops.Import("q", messages))).stored, 0, "stored once more")
    expect(await t.browse(), messages[1:], "what is left")


async def import_keeps_ids_while_their_messages_stay(t: Trial) -> None:
    """Beyond the time for which ids are remembered in any case."""
    stays, goes = _message(t, 1), _message(t, 2, priority=1)
    await t.do(ops.Import("q", [stays, goes]))
    await t.ack(await t.one())
    t.clock.advance(ms=REMEMBERED)
    for _ in range(3):
        again = await t.do(ops.Import("q", [stays, _message(t, 3)]))
        that(again.stored <= 1, "a message was stored beside itself")
    expect((await t.look(parse_id(stays.id))).id, stays.id, "the one that stays")
    expect((await t.do(ops.Import("q", [goes]))).stored, 1, "stored after it was forgotten")


async def import_delivers_like_any_other(t: Trial) -> None:
    """By priority, behind what is there, in the order of the import; deliveries go on counting."""
    await t.configure(max_deliveries=3)
    await t.put(b"mine")
    messages = [
        _message(t, 1, deliveries=2, reason="broke"),
        _message(t, 2, priority=9),
        _message(t, 3, status=Status.LEASED, deliveries=1),
    ]
    await t.do(ops.Import("q", messages))
    leases = await t.take(10)
    seen = [(lease.message().content, lease.attempt) for lease in leases]
    expect(seen, [(b"2", 1), (b"mine", 1), (b"1", 3), (b"3", 2)], "contents and attempts")
    expect(leases[2].message().id, messages[0].id, "the id of a delivery")
    await t.nack(leases[2], reason="again")
    dead = await t.look(parse_id(messages[0].id))
    expect((dead.status, dead.reason), ("dead", "max_deliveries: again"), "at the limit")
    await t.settle(leases[3].receipt, Outcome.ACK)
    expect(await t.do(ops.Redrive("q", [parse_id(messages[0].id)])), 1, "redriven by id")
    await t.do(ops.Cancel("q", parse_id(messages[0].id)))
    await t.refused(MessageNotFound, ops.Look("q", parse_id(messages[0].id)), "a cancelled one")


async def import_obeys_time(t: Trial) -> None:
    """Delays, expiries and retention go on where they were, and consumers hear of it."""
    now = t.clock.now()
    await t.configure(keep_dead=50, keep_done=20)
    await t.do(
        ops.Import(
            "q",
            [
                _message(t, 1, status=Status.SCHEDULED, available_at=now + 5_000),
                _message(t, 2, status=Status.SCHEDULED, available_at=now - 5),
                _message(t, 3, expires_at=now + 2_000),
                _message(t, 4, expires_at=now - 1),
                _message(t, 9, expires_at=0),
                _message(t, 5, status=Status.DEAD, reason="rejected"),
                _message(t, 6, status=Status.DONE),
            ],
        )
    )
    expect(await t.contents(1), [b"2"], "what is due")
    t.clock.advance(2)
    expect(await t.contents(), [], "what has expired")
    t.clock.advance(3)
    expect(await t.contents(), [b"1"], "what is due later")
    t.clock.advance(15)
    await t.figures("after keep_done", done=0, dead=1, expired=3, acked=1)
    t.clock.advance(30)
    await t.figures("after keep_dead", dead=0, forgotten=1)
    await t.configure(keep_dead=0, keep_done=0)
    more = [_message(t, 7, status=Status.DEAD), _message(t, 8, status=Status.DONE)]
    await t.do(ops.Import("q", more))
    await t.figures("where nothing is kept", dead=0, done=0, forgotten=2, acked=2)
    that(conserved(await t.stats()), "messages are not conserved")


async def import_respects_recipients(t: Trial) -> None:
    """An addressed message is delivered to its recipient only."""
    await t.do(ops.Import("q", [_message(t, 1, recipient="bob"), _message(t, 2)]))
    expect(await t.contents(recipient="eve"), [b"2"], "of a stranger")
    expect(await t.contents(recipient="bob"), [b"1"], "of the recipient")


async def import_brings_keys(t: Trial) -> None:
    """A key holds for the rest of its window, unless it is in use here."""
    await t.configure(dedup_window=10)
    mine = await t.put(b"x", key="taken")
    messages = [
        _message(t, 1, key="k"),
        _message(t, 2, key="taken"),
        _message(t, 3, key="old", created_at=t.clock.now() - 10_000),
    ]
    await t.do(ops.Import("q", messages))
    [again] = await t.publish(prepare(b"1", key="k"))
    expect((again.id, again.duplicate), (messages[0].id, True), "a publish of an imported key")
    error = await t.refused(
        KeyConflict, ops.Publish("q", [prepare(b"other", key="k")]), "other content"
    )
    expect(error.id, messages[0].id, "the id in the conflict")
    [again] = await t.publish(prepare(b"x", key="taken"))
    expect((again.number, again.duplicate), (mine, True), "a publish of a key in use")
    [fresh] = await t.publish(prepare(b"3", key="old"))
    expect(fresh.duplicate, False, "a publish of a key whose window is over")
    t.clock.advance(9)
    [fresh] = await t.publish(prepare(b"1", key="k"))
    expect(fresh.duplicate, False, "a publish after the window's rest")


async def import_makes_a_queue_as_it_was(t: Trial) -> None:
    """Policy and pause of a queue that it makes; one that is there keeps its own."""
    until = t.clock.now() + 4_000
    await t.do(ops.Import("q", [_message(t)], {"lease": 7}, True, until))
    expect((await t.stats()).paused_until, until, "when the pause ends")
    expect(await t.contents(), [], "deliveries of a paused queue")
    await t.do(ops.Import("q", [], {"lease": 8}))
    expect((await t.do(ops.Describe("q"))).lease, 7.0, "the lease of a queue that was there")
    t.clock.advance(4)
    expect(await t.contents(), [b"1"], "deliveries after the pause")
    await t.do(ops.Import("p", [], {}, True))
    stats = await t.stats("p")
    expect((stats.paused, stats.paused_until), (True, None), "a pause without end")


async def import_passes_limits_of_publishers(t: Trial) -> None:
    """What a queue has once accepted, another one takes."""
    await t.configure(max_length=1, max_content=1)
    messages = [_message(t, n, content=b"longer") for n in (1, 2)]
    await t.do(ops.Import("q", messages))
    await t.figures("beyond the limit", ready=2)


async def import_refuses_a_queues_own_messages(t: Trial) -> None:
    """Or a queue that is moved to itself would be emptied. All or none."""
    await t.put()
    [own] = await t.browse()
    await t.refused(IllegalMove, ops.Import("q", [_message(t), own]), "an import of its own")
    await t.figures("after a refused import", published=1, ready=1)
    tags = [(await t.do(ops.Import(name, []))).tag for name in ("q", "p", "q")]
    that(tags[0] == tags[2] != tags[1], f"tags that do not tell queues apart: {tags}")


async def import_brings_messages_home_and_away(t: Trial) -> None:
    """To another queue, and back to the one whose ids they have."""
    await t.put(b"x", priority=3)
    there = await t.browse()
    number = parse_id(there[0].id)
    for _ in range(2):
        expect((await t.do(ops.Import("other", there))).stored, 1, "stored elsewhere")
        expect(await t.do(ops.Purge("q", ids=[number])), 1, "moved on")
        [seen] = await t.browse(queue="other")
        expect((await t.do(ops.Import("q", [seen]))).stored, 1, "stored at home")
        expect(await t.do(ops.Purge("other", ids=[number, number])), 1, "moved on from there")
    await t.put(b"y")
    [home, _] = await t.browse()
    expect(home.id, there[0].id, "the id at home")
    expect(await t.contents(), [b"x", b"y"], "deliveries at home")
    expect((await t.do(ops.Import("q", [seen]))).stored, 0, "stored at home once more")


async def purge_of_what_was_moved_on_leaves_the_rest(t: Trial) -> None:
    """Leased ones stay, so do those of another status; done ones go. A cancelled id stays known."""
    messages = [_message(t, n, priority=9 - n) for n in range(1, 5)]
    messages[2] = _message(t, 3, status=Status.DONE)
    await t.do(ops.Import("q", messages, {"keep_done": 100}))
    numbers = [parse_id(message.id) for message in messages]
    lease = await t.one()
    await t.refused(IllegalMove, ops.Purge("q", Status.LEASED, numbers), "a purge of leased ones")
    expect(await t.do(ops.Purge("q", ids=[])), 0, "purged, of none")
    expect(await t.do(ops.Purge("q", Status.DEAD, numbers)), 0, "purged, of dead ones")
    await t.do(ops.Cancel("q", numbers[3]))
    expect(await t.do(ops.Purge("q", ids=[*numbers, parse_id(_message(t, 9).id)])), 2, "purged")
    await t.figures("then", leased=1, ready=0, done=0, purged=1, cancelled=1, published=4, acked=1)
    expect((await t.do(ops.Import("q", messages))).stored, 2, "stored anew")
    await t.configure(keep_done=0)
    await t.ack(lease)
    expect(await t.do(ops.Purge("q", ids=numbers[:1])), 0, "purged, of acknowledged ones")
    expect((await t.do(ops.Import("q", messages))).stored, 0, "stored of what is known")


async def import_is_told(t: Trial) -> None:
    """To those who wait and to those who watch."""
    await t.configure()
    _, offset = await t.follow(None)
    messages = [_message(t, 1), _message(t, 2, status=Status.DEAD, reason="rejected")]
    ear = t.ear()
    await t.do(ops.Import("q", messages))
    end = time.monotonic() + t.harness.patience
    while not ear.heard:
        that(time.monotonic() < end, "nobody was woken by an import")
        await asyncio.sleep(0.001)
    events, _ = await t.follow(offset)
    told = [(event.kind, event.message) for event in events]
    expect(told, [(EventKind.PUBLISHED, message) for message in messages], "events")
    ear.stop()


async def import_into_a_deleted_queue_begins_anew(t: Trial) -> None:
    """A queue's book of ids goes with it."""
    await t.do(ops.Import("q", [_message(t)]))
    await t.do(ops.Delete("q"))
    expect((await t.do(ops.Import("q", [_message(t)]))).stored, 1, "stored anew")
    expect(await t.contents(), [b"1"], "deliveries")
