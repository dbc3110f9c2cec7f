"""Traces: which spans there are, how they hang together, and what is never in one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import supersoniq
import supersoniq.sync
from supersoniq import Broker
from supersoniq.api.engine import Engine
from supersoniq.api.moving import Mover
from supersoniq.backends.memory import MemoryBackend
from supersoniq.tracing import instrument
from tests.backends.served import DOORS, House

CANARY = "canary-91d0"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traces:
    """Spans as they end."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def instrument(self, broker: Any) -> Any:
        instrument(broker, tracer_provider=self.provider)
        return broker

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        (found,) = [each for each in self.spans() if each.name == name]
        return found


@pytest.fixture
def traces() -> Iterator[Traces]:
    made = Traces()
    yield made
    made.provider.shutdown()


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def linked(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def facts(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


async def life(publisher: Broker, worker: Broker, traces: Traces) -> None:
    """A message's, and what its spans must be."""
    with traces.tracer.start_as_current_span("order") as order:
        published = await publisher.queue("q").publish({"n": 1}, headers={"a": "b"})
    delivery = await worker.queue("q").get(60)
    assert delivery is not None
    assert set(delivery.headers) == {"a", "traceparent"}
    async with delivery:
        within = trace.get_current_span().get_span_context().span_id
    send, receive = traces.one("publish q"), traces.one("receive q")
    process, ack = traces.one("process q"), traces.one("ack q")
    assert process.context is not None
    assert within == id_of(process)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert send.parent is not None
    assert send.parent.span_id == order.get_span_context().span_id
    assert [each.kind for each in (send, receive, process, ack)] == [
        SpanKind.PRODUCER,
        SpanKind.CLIENT,
        SpanKind.CONSUMER,
        SpanKind.CLIENT,
    ]
    assert trace_of(process) == trace_of(send), "nobody else's trace was under way"
    assert ack.parent is not None
    assert ack.parent.span_id == id_of(process)
    for span in (receive, process, ack):
        assert linked(span) == {id_of(send)}
    for span, name, kind in (
        (send, "publish", "send"),
        (receive, "receive", "receive"),
        (process, "process", "process"),
        (ack, "ack", "settle"),
    ):
        told = facts(span)
        assert told["messaging.system"] == "supersoniq"
        assert told["messaging.operation.name"] == name
        assert told["messaging.operation.type"] == kind
        assert told["messaging.destination.name"] == "q"
        assert told["messaging.message.id"] == published.id
        assert span.status.status_code is StatusCode.UNSET
    assert facts(process)["supersoniq.delivery.attempt"] == 1
    assert send.end_time is not None
    assert receive.start_time is not None
    assert receive.end_time is not None
    assert receive.start_time <= receive.end_time


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_the_spans_of_a_message(store: str, traces: Traces, tmp_path: Path) -> None:
    async def main() -> None:
        url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/store.db"
        async with traces.instrument(supersoniq.connect(url)) as broker:
            await life(broker, broker, traces)

    asyncio.run(main())


@pytest.mark.parametrize("into", DOORS)
@pytest.mark.parametrize("out", DOORS)
def test_through_every_door(into: str, out: str, traces: Traces) -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            publisher, worker = (Broker(house.connect(door)) for door in (into, out))
            async with traces.instrument(publisher), traces.instrument(worker):
                await life(publisher, worker, traces)

    asyncio.run(main())


PUBLISHER = """
import asyncio, sys
import supersoniq
from opentelemetry.sdk.trace import TracerProvider
from supersoniq.tracing import instrument

async def main():
    broker = supersoniq.connect(sys.argv[1])
    provider = TracerProvider()
    instrument(broker, tracer_provider=provider)
    async with broker:
        with provider.get_tracer("t").start_as_current_span("order") as span:
            await broker.queue("q").publish("x")
            print(format(span.get_span_context().trace_id, "032x"))

asyncio.run(main())
"""


def test_from_process_to_process(traces: Traces, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    command = [sys.executable, "-W", "error", "-c", PUBLISHER, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

    async def main() -> None:
        async with traces.instrument(supersoniq.connect(url)) as broker:
            delivery = await broker.queue("q").get(0)
            assert delivery is not None
            async with delivery:
                pass

    asyncio.run(main())
    process = traces.one("process q")
    assert format(trace_of(process), "032x") == done.stdout.strip()
    assert format(process.links[0].context.trace_id, "032x") == done.stdout.strip()


def test_a_worker_with_a_trace_of_its_own_stays_in_it(traces: Traces) -> None:
    async def main() -> None:
        async with traces.instrument(supersoniq.connect("memory://")) as broker:
            queue = broker.queue("q")
            await queue.publish("x")
            with traces.tracer.start_as_current_span("shift") as shift:
                delivery = await queue.get(0)
                assert delivery is not None
                async with delivery:
                    pass
            process = traces.one("process q")
            assert trace_of(process) == shift.get_span_context().trace_id
            assert linked(process) == {id_of(traces.one("publish q"))}

    asyncio.run(main())


def test_batches_are_one_span_with_links(traces: Traces) -> None:
    async def main() -> None:
        async with traces.instrument(supersoniq.connect("memory://")) as broker:
            queue = broker.queue("q")
            await queue.publish_many(["a", "b"])
            await queue.publish("c")
            deliveries = await queue.get_many(10, wait=0)
            assert await queue.ack_many(deliveries) == [None] * 3
        sends = [each for each in traces.spans() if each.name == "publish q"]
        counts = [facts(each).get("messaging.batch.message_count") for each in sends]
        assert counts == [2, None]
        for name in ("receive q", "ack q"):
            span = traces.one(name)
            assert facts(span)["messaging.batch.message_count"] == 3
            assert linked(span) == {id_of(each) for each in sends}
            assert "messaging.message.id" not in facts(span)

    asyncio.run(main())


def test_a_failure_is_told_by_its_kind_and_nothing_secret_ever(traces: Traces) -> None:
    async def main() -> None:
        async with traces.instrument(supersoniq.connect("memory://")) as broker:
            queue = broker.queue("q", max_content=100)
            await queue.publish(
                f"the-{CANARY}", headers={CANARY: CANARY}, key=CANARY, sender=CANARY
            )
            with pytest.raises(supersoniq.KeyConflict):
                await queue.publish("other", key=CANARY)
            with pytest.raises(supersoniq.ContentTooLarge):
                await queue.publish(CANARY * 100)
            delivery = await queue.get(0)
            assert delivery is not None
            with pytest.raises(RuntimeError):
                async with delivery:
                    raise RuntimeError(CANARY)
            with pytest.raises(supersoniq.LeaseLost):
                await delivery.ack()

    asyncio.run(main())
    told = [(each.name, facts(each).get("error.type")) for each in traces.spans()]
    assert told == [
        ("publish q", None),
        ("publish q", "key-conflict"),
        ("publish q", "content-too-large"),
        ("receive q", None),
        ("nack q", None),
        ("process q", "RuntimeError"),
        ("ack q", "lease-lost"),
    ]
    failed = [each for each in traces.spans() if facts(each).get("error.type")]
    assert all(each.status.status_code is StatusCode.ERROR for each in failed)
    assert not any(CANARY in each.to_json() for each in traces.spans())


def test_handlers_of_run_are_within(traces: Traces) -> None:
    async def main() -> None:
        async with traces.instrument(supersoniq.connect("memory://")) as broker:
            queue, stop = broker.queue("q"), asyncio.Event()
            await queue.publish("x")

            async def handle(delivery: supersoniq.Delivery) -> None:
                with traces.tracer.start_as_current_span("work"):
                    stop.set()

            await asyncio.wait_for(queue.run(handle, stop=stop), 60)
        work, process = traces.one("work"), traces.one("process q")
        assert work.parent is not None
        assert work.parent.span_id == id_of(process)

    asyncio.run(main())


def test_a_context_that_is_there_is_kept_and_one_that_has_no_room_is_left(traces: Traces) -> None:
    async def main() -> None:
        theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        full = {f"h{n}": "x" for n in range(64)}
        async with traces.instrument(supersoniq.connect("memory://")) as broker:
            queue = broker.queue("q")
            await queue.publish("a", headers={"traceparent": theirs})
            await queue.publish("b", headers=full)
            await queue.publish("c", headers={"traceparent": "garbage"})
            first, second, third = await queue.get_many(3, wait=0)
            assert first.headers == {"traceparent": theirs}
            assert second.headers == full
            async with third:
                pass
        links = traces.one("receive q").links
        assert [format(each.context.span_id, "016x") for each in links] == ["b7ad6b7169203331"]

    asyncio.run(main())


def test_a_moved_message_is_named_by_the_id_that_it_brought(traces: Traces) -> None:
    async def main() -> str:
        async with supersoniq.connect("memory://") as old:
            published = await old.queue("q").publish("x", headers={"traceparent": PARENT})
            async with traces.instrument(supersoniq.connect("memory://")) as broker:
                assert (await Mover(old, broker, "q").run()).moved == 1
                async with await broker.queue("q").get(0) as delivery:
                    assert delivery.id == published.id
        return published.id

    moved = asyncio.run(main())
    for name in ("receive q", "process q", "ack q"):
        span = traces.one(name)
        assert facts(span)["messaging.message.id"] == moved
        assert [link.attributes for link in span.links] == [{"messaging.message.id": moved}]


def test_waiting_in_vain_makes_no_span(traces: Traces) -> None:
    async def main() -> None:
        async with traces.instrument(supersoniq.connect("memory://")) as broker:
            assert await broker.queue("q").get(0) is None
            assert await broker.queue("q").get(0.01) is None

    asyncio.run(main())
    assert traces.spans() == []


def test_the_blocking_face(traces: Traces) -> None:
    with traces.instrument(supersoniq.sync.connect("memory://")) as broker:
        queue = broker.queue("q")
        with traces.tracer.start_as_current_span("order") as order:
            queue.publish("x")
        with queue.get(0):
            pass
    send = traces.one("publish q")
    assert trace_of(send) == order.get_span_context().trace_id
    assert linked(traces.one("ack q")) == {id_of(send)}


def test_who_is_not_instrumented_pays_nothing(traces: Traces) -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            assert type(broker.engine) is Engine
            assert broker.engine.working is None
            assert broker.engine.direct is not None
            with pytest.raises(supersoniq.SupersoniqError, match="is open"):
                traces.instrument(broker)
        with pytest.raises(supersoniq.SupersoniqError, match="not a Broker"):
            traces.instrument("memory://")

    asyncio.run(main())


def test_without_the_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import supersoniq.tracing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'supersoniq[tracing]'" in done.stderr
