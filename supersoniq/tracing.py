"""Traces of messages with OpenTelemetry, from the one who publishes to those who work on it.

>>> broker = supersoniq.connect("sqlite:///jobs.db")
>>> supersoniq.tracing.instrument(broker)

Nothing is traced of a broker that was not instrumented, and it pays nothing. Of one that was, each
call makes a span after OpenTelemetry's conventions for messaging:

- ``publish QUEUE`` (PRODUCER), whose context goes with each of its messages, as ``traceparent`` and
  ``tracestate`` (W3C Trace Context) in their headers, through whatever store and door, unless a
  message has a ``traceparent`` of its own already;
- ``receive QUEUE`` (CLIENT), from the call to the leases it got. Who gets nothing makes no span;
- ``process QUEUE`` (CONSUMER), as long as ``async with delivery`` and the handlers of ``run`` last,
  in which it is the current span. Without a span around it, it belongs to the publisher's trace;
- ``ack QUEUE``, ``nack QUEUE``, ... (CLIENT).

All but the first are linked to the contexts of their messages. Contents, headers, keys, reasons and
the texts of errors are never in a span; ids of messages and names of queues are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

import supersoniq
from supersoniq.api.broker import Broker
from supersoniq.api.delivery import Delivery
from supersoniq.api.engine import Engine
from supersoniq.api.waiting import Batch
from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument, InvalidSetting, MissingExtra, SupersoniqError
from supersoniq.core.ids import format_id
from supersoniq.core.messages import Entry, Lease, Published
from supersoniq.core.ops import AnyOp, Publish, Settle
from supersoniq.port import Backend

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    missing = error.name or str(error)
    raise MissingExtra("tracing", "supersoniq[tracing]", missing) from None

if TYPE_CHECKING:
    from supersoniq.sync import Broker as BlockingBroker

__all__ = ["instrument"]

Attributes = dict[str, str | int]
MOST_LINKS = 128
"""Links of one span, which is as many as OpenTelemetry keeps by default."""


def instrument(
    broker: Broker | BlockingBroker,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    propagator: TextMapPropagator | None = None,
) -> None:
    """Trace what is done through a broker.

    Of a blocking one, ``with delivery`` makes no span of its own.

    Args:
        broker: not open yet.
        tracer_provider: gives the tracer; ``None``: the program's own provider.
        propagator: writes a context into headers and reads it there; ``None``: W3C Trace Context.

    Raises:
        InvalidSetting: the broker is open, or no broker.
    """
    inner = getattr(broker, "_async", broker)
    if not isinstance(inner, Broker):
        raise InvalidSetting("broker", broker, "is not a Broker; supersoniq.connect makes one")
    if inner.is_open:
        raise InvalidSetting("broker", broker, "is open; instrument it before it is opened")
    tracer = trace.get_tracer("supersoniq", supersoniq.__version__, tracer_provider)
    inner.make_engine = partial(_Engine, tracer, propagator or TraceContextTextMapPropagator())


class _Engine(Engine):
    """An engine that makes spans of what goes through it."""

    def __init__(self, tracer: Tracer, propagator: TextMapPropagator, backend: Backend) -> None:
        super().__init__(backend)
        self.direct = None  # whoever called it would pass by
        self.working = self._working
        self._tracer = tracer
        self._propagator = propagator

    async def call(self, op: AnyOp) -> Any:
        """Carry out an operation, within a span if it publishes or settles."""
        if isinstance(op, Publish):
            return await self._publish(op)
        if isinstance(op, Settle):
            return await self._settle(op)
        return await super().call(op)

    def wait(
        self,
        queue: str,
        limit: int,
        recipient: str | None,
        duration: int | None,
        wait: float | None,
        max_bytes: int | None = None,
    ) -> Awaitable[Batch]:
        """Stand in line, and tell of what came: as nothing is direct, all who take come here."""
        waiting = super().wait(queue, limit, recipient, duration, wait, max_bytes)
        return self._waited(time.time_ns(), waiting)

    async def _waited(self, begun: int, waiting: Awaitable[Batch]) -> Batch:
        return self._received(begun, await waiting)

    async def _publish(self, op: Publish) -> list[Published]:
        many = len(op.entries)
        facts = _facts("publish", "send", op.queue, many)
        if many == 1:
            facts["messaging.message.body.size"] = len(op.entries[0].content)
        name = f"publish {op.queue}"
        with self._span(name, SpanKind.PRODUCER, facts) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            entries = [_with_headers(entry, carrier) for entry in op.entries]
            published: list[Published] = await super().call(Publish(op.queue, entries))
            if many == 1:
                span.set_attribute("messaging.message.id", published[0].id)
            return published

    async def _settle(self, op: Settle) -> Any:
        outcome = str(op.settlements[0].outcome) if op.settlements else "settle"
        leases = [each.receipt for each in op.settlements if isinstance(each.receipt, Lease)]
        facts = _facts(outcome, "settle", op.queue, len(op.settlements))
        if len(leases) == len(op.settlements) == 1:
            facts["messaging.message.id"] = _id(leases[0])
        links = self._links(leases)
        with self._span(f"{outcome} {op.queue}", SpanKind.CLIENT, facts, links) as span:
            verdicts = await super().call(op)
            refused = next((each for each in verdicts if isinstance(each, SupersoniqError)), None)
            if refused is not None:
                _failed(span, refused)
            return verdicts

    def _received(self, begun: int, batch: Batch) -> Batch:
        leases = batch.leases
        if leases:
            queue = leases[0].queue
            facts = _facts("receive", "receive", queue, len(leases))
            if len(leases) == 1:
                facts |= _of_message(leases[0])
            self._tracer.start_span(
                f"receive {queue}",
                kind=SpanKind.CLIENT,
                attributes=facts,
                links=self._links(leases),
                start_time=begun,
            ).end()
        return batch

    @contextmanager
    def _working(self, delivery: Delivery) -> Iterator[None]:
        lease = delivery.lease
        facts = _facts("process", "process", lease.queue, 1) | _of_message(lease)
        links = self._links([lease])
        alone = not trace.get_current_span().get_span_context().is_valid
        parent = self._context(lease) if alone else None
        name = f"process {lease.queue}"
        with self._span(name, SpanKind.CONSUMER, facts, links, parent):
            yield

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        facts: Attributes,
        links: Sequence[Link] = (),
        parent: Context | None = None,
    ) -> Iterator[Span]:
        """A span that is the current one meanwhile. An error is told by its kind alone."""
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            attributes=facts,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                if not isinstance(error, asyncio.CancelledError | GeneratorExit):
                    _failed(span, error)
                raise

    def _context(self, lease: Lease) -> Context | None:
        """The context that a message brings, if it brings one."""
        headers = lease.record.details.headers
        if not headers or "traceparent" not in headers:
            return None
        return self._propagator.extract(headers)

    def _links(self, leases: Sequence[Lease]) -> list[Link]:
        found: list[Link] = []
        for lease in leases[:MOST_LINKS]:
            context = self._context(lease)
            if context is not None:
                there = trace.get_current_span(context).get_span_context()
                if there.is_valid:
                    found.append(Link(there, {"messaging.message.id": _id(lease)}))
        return found


def _facts(name: str, kind: str, queue: str, count: int) -> Attributes:
    facts: Attributes = {
        "messaging.system": "supersoniq",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
    }
    if count != 1:
        facts["messaging.batch.message_count"] = count
    return facts


def _of_message(lease: Lease) -> Attributes:
    return {
        "messaging.message.id": _id(lease),
        "messaging.message.body.size": len(lease.record.content),
        "supersoniq.delivery.attempt": lease.attempt,
    }


def _id(lease: Lease) -> str:
    return format_id(lease.record.number(lease.seal))


def _failed(span: Span, error: BaseException) -> None:
    kind = error.code if isinstance(error, SupersoniqError) else type(error).__qualname__
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _with_headers(entry: Entry, carrier: Mapping[str, str]) -> Entry:
    """An entry with a context in its headers, unless it has one, or there is no room for it."""
    own = entry.details.headers or {}
    if not carrier or "traceparent" in own:
        return entry
    try:
        headers = checks.headers({**own, **carrier})
    except InvalidArgument:
        return entry
    details = msgspec.structs.replace(entry.details, headers=headers)
    return msgspec.structs.replace(entry, details=details)
