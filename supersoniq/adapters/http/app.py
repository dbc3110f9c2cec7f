"""The app: which path leads to which handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocketClose

from supersoniq.adapters import console as page
from supersoniq.adapters.access import Origins
from supersoniq.adapters.asgi import Receive, Scope, Send
from supersoniq.adapters.http.endpoint import Endpoint
from supersoniq.adapters.http.limits import Limits
from supersoniq.adapters.http.openapi import openapi
from supersoniq.adapters.http.paths import Paths
from supersoniq.adapters.http.problems import Refusal
from supersoniq.adapters.http.routes import CONSOLE, ROUTES
from supersoniq.adapters.http.service import Service
from supersoniq.adapters.ws.endpoint import Sockets
from supersoniq.api.broker import Broker
from supersoniq.auth.tokens import Verifier
from supersoniq.core.errors import InvalidSetting
from supersoniq.observe import Meter
from supersoniq.observe.events import Narrator
from supersoniq.servers.plugin import Count

__all__ = ["App", "create_app"]


def create_app(
    broker: Broker,
    *,
    max_body: int = Limits.max_body,
    max_batch_body: int = Limits.max_batch_body,
    max_arriving: int = Limits.max_arriving,
    max_depth: int = Limits.max_depth,
    max_batch: int = Limits.max_batch,
    max_wait: float = Limits.max_wait,
    max_answer: int = Limits.max_answer,
    max_answers: int = Limits.max_answers,
    line_batch: int = Limits.line_batch,
    body_timeout: float = Limits.body_timeout,
    send_timeout: float = Limits.send_timeout,
    keep_alive: float = Limits.keep_alive,
    hello_timeout: float = Limits.hello_timeout,
    max_sockets: int = Limits.max_sockets,
    max_subscriptions: int = Limits.max_subscriptions,
    max_credit: int = Limits.max_credit,
    max_requests: int = Limits.max_requests,
    max_outbox: int = Limits.max_outbox,
    max_failures: float = Limits.max_failures,
    max_rate: float | None = None,
    max_burst: float | None = None,
    max_throughput: float | None = None,
    max_open: int | None = None,
    allow_origins: Iterable[str] = (),
    auth: Verifier | None = None,
    metrics: bool = True,
    metrics_queues: int = 100,
    console: bool = True,
) -> App:
    """An ASGI app for a broker's queues: to be served alone, or mounted under any prefix.

    Served alone, its lifespan opens the broker, unless it is open, and then also closes it. Mounted
    in another app, whose lifespan alone is run, the broker must be opened there.

    Args:
        broker: the queues.
        max_body: bytes of a body, or of one line of an NDJSON body; 2 MiB.
        max_batch_body: bytes of a batch of operations; 16 MiB.
        max_arriving: bytes of all bodies together that arrive or wait for the store, above which
            larger ones wait for their turn; 32 MiB. With the project's own server half-sent
            WebSocket messages count, too.
        max_depth: levels of arrays and objects in a JSON body; 64.
        max_batch: messages in one request; 10,000.
        max_wait: seconds that a lease request may wait; 60.
        max_answer: bytes of content in one answer, beyond which it ends early; 4 MiB.
        max_answers: bytes of all answers together that wait to be taken; 16 MiB.
        line_batch: lines of an NDJSON body that are published together; 500.
        body_timeout: seconds within which a body must arrive; 30.
        send_timeout: seconds within which a client must make room for an answer; 30.
        keep_alive: seconds of silence in an event stream; 15.
        hello_timeout: seconds within which a WebSocket must send its first frame; 10.
        max_sockets: WebSockets at the same time; 10,000.
        max_subscriptions: subscriptions of one WebSocket; 100.
        max_credit: deliveries that one WebSocket may hold unsettled; 10,000.
        max_requests: requests of one WebSocket that are under way; 1,000.
        max_outbox: bytes that wait to be sent to one WebSocket; 4 MiB.
        max_failures: tokens of one address that do not hold, a minute; 60. A third of them may come
            at once.
        max_rate: operations a second of one caller, that is one ``sub``; a message published counts
            for one. ``None``: any number.
        max_burst: how many of them may come at once; by default those of a second.
        max_throughput: bytes of content that one caller may publish, a second; those of ten seconds
            may come at once. ``None``: any number.
        max_open: what one caller has open at the same time: WebSockets, WebTransport sessions,
            streams of events, lease requests that may wait, uploads of lines. ``None``: any number.
        allow_origins: origins whose web pages may call this, beside those of this host, such as
            ``https://app.example.com``; ``"*"`` is any.
        auth: whose tokens are accepted; ``None``: whoever reaches this app may do everything.
        metrics: whether to count what ``GET /metrics`` tells.
        metrics_queues: queues with figures of their own there, 0 to 10,000; the others are
            summed up. 100.
        console: whether there is a page for people at ``/console``.

    Raises:
        InvalidSetting: one of them cannot be.
    """
    if not isinstance(broker, Broker):
        raise InvalidSetting("broker", broker, "is not a Broker; supersoniq.connect makes one")
    limits = Limits(
        max_body=max_body,
        max_batch_body=max_batch_body,
        max_arriving=max_arriving,
        max_depth=max_depth,
        max_batch=max_batch,
        max_wait=max_wait,
        max_answer=max_answer,
        max_answers=max_answers,
        line_batch=line_batch,
        body_timeout=body_timeout,
        send_timeout=send_timeout,
        keep_alive=keep_alive,
        hello_timeout=hello_timeout,
        max_sockets=max_sockets,
        max_subscriptions=max_subscriptions,
        max_credit=max_credit,
        max_requests=max_requests,
        max_outbox=max_outbox,
        max_failures=max_failures,
        max_rate=max_rate,
        max_burst=max_burst,
        max_throughput=max_throughput,
        max_open=max_open,
    )
    if auth is not None and not isinstance(auth, Verifier):
        raise InvalidSetting("auth", auth, "is no Verifier of supersoniq.auth")
    if type(metrics_queues) is not int or not 0 <= metrics_queues <= 10_000:
        raise InvalidSetting("metrics_queues", metrics_queues, "takes an integer, 0 to 10,000")
    for name in ("max_rate", "max_throughput", "max_open"):
        if auth is None and (value := getattr(limits, name)) is not None:
            raise InvalidSetting(name, value, "is for each caller, and takes auth beside it")
    origins = Origins(allow_origins)
    broker.observe(Narrator())
    meter = Meter(broker, max_queues=metrics_queues) if metrics else None
    if not isinstance(console, bool):
        raise InvalidSetting("console", console, "takes True or False")
    document = partial(openapi, ROUTES, limits)
    return App(Service(broker, limits, document, auth, origins, meter, console=console))


class App(Starlette):
    """A broker's queues over HTTP.

    Args:
        service: what the handlers share.
    """

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        self.sockets = Sockets(service)
        self._nothing = Endpoint(service, {})
        routes = {**ROUTES, **CONSOLE} if service.console else ROUTES
        self.router = Paths(
            {path: Endpoint(service, each, path) for path, each in routes.items()}, _lifespan
        )
        if service.console:
            slash = Endpoint(service, {"GET": page.moved})
            self.router.routes.append(Route("/console/", slash, name="console/"))
        self.router.routes.append(WebSocketRoute("/ws", self.sockets, name="websocket"))
        self.router.default = self._not_found
        if service.origins.allowed:
            self.add_middleware(
                CORSMiddleware,
                allow_origins=sorted(service.origins.allowed),
                allow_methods=["GET", "POST", "PUT", "DELETE"],
                allow_headers=["authorization", "content-type", "last-event-id", "prefer"],
                expose_headers=["link", "location", "retry-after", "www-authenticate"],
            )

    def drain(self) -> None:
        """End every long poll, event stream and WebSocket, so that the server can stop.

        ``serve`` calls it. Another server should be given a time-out for its graceful shutdown, or
        have this called when it begins.
        """
        self.service.drain()

    async def leave(self) -> None:
        """``drain``, and wait until WebSockets have said goodbye: a server would cut them."""
        self.drain()
        await self.sockets.ended()

    def counting(self, count: Count) -> None:
        """Have the metrics tell how many connections a server has.

        Args:
            count: gives them.
        """
        if self.service.meter is not None:
            self.service.meter.connections = count

    def build_middleware_stack(self) -> ASGIApp:
        """Starlette's own; nothing but the router as long as nobody has added to it.

        Its two error middlewares have nothing to do here: endpoints answer every error.
        """
        if self.user_middleware or self.exception_handlers:
            return super().build_middleware_stack()
        return self.router

    async def _not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        detail = f"there is nothing at {scope['path'][:200]!r}; GET {scope.get('root_path', '')}/"
        await self._nothing.refuse(
            Refusal(404, f"{detail} tells what there is"), scope, receive, send
        )


@asynccontextmanager
async def _lifespan(app: App) -> AsyncIterator[None]:
    service = app.service
    ours = not service.is_open()
    if ours:
        await service.broker.open()
    try:
        await service.begin()
        yield
    finally:
        service.drain()
        if ours:
            await service.broker.close()
