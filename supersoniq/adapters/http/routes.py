"""Which path and method lead to which handler: the one table, which the document is made of too."""

from __future__ import annotations

from supersoniq.adapters import console
from supersoniq.adapters.http import about, browse, consume, manage, metrics
from supersoniq.adapters.http.described import Gives, described
from supersoniq.adapters.http.document import document
from supersoniq.adapters.http.endpoint import Handler
from supersoniq.adapters.http.events import events
from supersoniq.adapters.http.operations import operations, stirs
from supersoniq.adapters.http.publish import publish
from supersoniq.adapters.ws.endpoint import upgrade

__all__ = ["CONSOLE", "ROUTES", "Methods"]

Methods = dict[str, Handler]

MESSAGE: dict[str, Methods] = {
    "/messages": {"GET": browse.browse, "POST": publish},
    "/messages/{id}": {"GET": browse.look, "DELETE": browse.cancel},
    "/messages/{id}/explanation": {"GET": browse.explain},
}
QUEUE: dict[str, Methods] = {
    "/leases": {"POST": consume.lease},
    "/settlements": {"POST": consume.settle},
    **MESSAGE,
    "/events": {"GET": events},
    "/stats": {"GET": manage.stats},
    "/pause": {"POST": manage.pause},
    "/resume": {"POST": manage.resume},
    "/purge": {"POST": manage.purge},
    "/redrive": {"POST": manage.redrive},
    "": {"GET": manage.describe, "PUT": manage.configure, "DELETE": manage.delete},
}
PORT: dict[str, Methods] = {
    "/operations": {"POST": operations},
    "/stirs": {"POST": stirs},
}
REST: dict[str, Methods] = {
    "/queues": {"GET": manage.names},
    "/stats": {"GET": metrics.all_stats},
    "/stats/process": {"GET": metrics.process},
    "/metrics": {"GET": metrics.metrics},
    "/health/live": {"GET": about.live},
    "/health/ready": {"GET": about.ready},
    "/ws": {"GET": upgrade},
    "/openapi.json": {"GET": document},
    "/": {"GET": about.index},
}

described(
    query=None,
    gives={101: Gives("The WebSocket is open: see docs/websocket.md.")},
    fields={"Sec-WebSocket-Protocol": str},
    refusals=(426,),
    store=False,
    picky=False,
)(upgrade)

ROUTES: dict[str, Methods] = {
    **PORT,
    **REST,
    **MESSAGE,
    **{f"/queues/{{queue}}{path}": methods for path, methods in QUEUE.items()},
}
"""Handlers by path and method. ``HEAD`` and ``OPTIONS`` come by themselves."""

CONSOLE: dict[str, Methods] = {
    "/console": {"GET": console.page},
    "/console/{file}": {"GET": console.part},
    "/console/client/{client}": {"GET": console.part},
}
"""The files of a web page, for browsers: not part of what the document describes."""
