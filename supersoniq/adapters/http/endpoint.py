"""What stands behind a path: the handler for each method, and the answer to every error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from supersoniq.adapters.asgi import Receive, Scope, Send, protocol_of
from supersoniq.adapters.http.described import description_of
from supersoniq.adapters.http.exchange import Exchange, Gone, Reply
from supersoniq.adapters.http.media import PROBLEM
from supersoniq.adapters.http.problems import Problem, Refusal, problem_of
from supersoniq.adapters.http.service import Service
from supersoniq.core.errors import SupersoniqError
from supersoniq.observe.logs import request_id, within

__all__ = ["Endpoint", "Handler", "problem_reply"]

log = logging.getLogger("supersoniq.http")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""What changes nothing, and whose answers a browser hides from a stranger's page."""
Handler = Callable[[Exchange], Awaitable[Reply | None]]
"""Gives the answer, or ``None`` if it has sent one itself."""


class Endpoint:
    """The ASGI app behind one path.

    Args:
        service: what its handlers share.
        handlers: by method.
        route: the path, as it is counted.
    """

    def __init__(
        self, service: Service, handlers: Mapping[str, Handler], route: str = "_other"
    ) -> None:
        self._service = service
        self._route = route
        self._handlers = dict(handlers)
        self._guarded = {
            method
            for method, handler in handlers.items()
            if (what := description_of(handler)).takes or what.any_scope
        }
        if "GET" in self._guarded:
            self._guarded.add("HEAD")
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]
        self._handlers["OPTIONS"] = self._options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with within(scope):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._service, scope, receive, send)
        try:
            handler = self._handlers.get(scope["method"])
            if handler is None:
                allow = sorted(self._handlers)
                raise Refusal(405, f"takes {', '.join(allow)}", allow=allow)
            service = self._service
            service.origins.answer_to(scope)
            if scope["method"] not in SAFE:
                service.origins.admit(scope)
            if service.verifier is not None and scope["method"] in self._guarded:
                exchange.caller = exchange.known() or await service.identity.of(scope)
            answer = await handler(exchange)
            if answer is not None:
                await exchange.answer(answer)
        except Gone:
            return
        except SupersoniqError as error:
            self._service.refused(error, scope)
            await _refuse(exchange, problem_of(error))
        except Refusal as refusal:
            await _refuse(exchange, refusal.problem)
        except TimeoutError:
            if not exchange.started:
                raise
            log.info("%s %s: the client did not take its answer", scope["method"], scope["path"])
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if exchange.started:
                raise  # the server then cuts the connection
            known = f"a bug; the server's log says more, at request={request_id(scope)}"
            await _refuse(exchange, Refusal(500, known).problem)
        finally:
            exchange.leave_room()
            self._count(exchange)

    async def refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that has come to nothing."""
        exchange = Exchange(self._service, scope, receive, send)
        try:
            await _refuse(exchange, refusal.problem)
        finally:
            self._count(exchange)

    def _count(self, exchange: Exchange) -> None:
        meter = self._service.meter
        if meter is not None:
            scope = exchange.scope
            method: str = scope["method"]
            if method not in self._handlers:
                method = "_other"
            meter.tally.request((self._route, method, protocol_of(scope), exchange.status))

    async def _options(self, exchange: Exchange) -> Reply:
        return Reply(204, fields=[(b"allow", ", ".join(sorted(self._handlers)).encode())])


async def _refuse(exchange: Exchange, problem: Problem) -> None:
    if exchange.started:
        raise RuntimeError(f"an answer was begun and cannot be finished: {problem.detail}")
    await exchange.answer(problem_reply(problem))


def problem_reply(problem: Problem) -> Reply:
    """A problem as an answer."""
    return Reply(problem.status, msgspec.json.encode(problem), PROBLEM, problem.headers())
