"""The app about itself: its front page, and whether it is well."""

from __future__ import annotations

import asyncio

import supersoniq
from supersoniq.adapters.http.described import Gives, described
from supersoniq.adapters.http.exchange import Exchange, Reply, reply
from supersoniq.adapters.http.forms import Front, Health
from supersoniq.adapters.http.media import JSON
from supersoniq.core.errors import BackendUnavailable, Closed
from supersoniq.core.ops import Queues

__all__ = ["index", "live", "ready"]

LINKS = {
    "self": "/",
    "openapi": "/openapi.json",
    "console": "/console",
    "messages": "/messages",
    "queues": "/queues",
    "queue": "/queues/{queue}",
    "queue_messages": "/queues/{queue}/messages",
    "leases": "/queues/{queue}/leases",
    "settlements": "/queues/{queue}/settlements",
    "events": "/queues/{queue}/events",
    "stats": "/stats",
    "process": "/stats/process",
    "metrics": "/metrics",
    "websocket": "/ws",
    "operations": "/operations",
    "stirs": "/stirs",
    "live": "/health/live",
    "ready": "/health/ready",
}
LIMITS = ("max_body", "max_batch_body", "max_batch", "max_wait")
PATIENCE = 5.0
"""Seconds within which a store that is well answers."""


@described(query=None, gives={200: Gives.json("What is here.", Front)}, store=False)
async def index(exchange: Exchange) -> Reply:
    """``GET /``: name, version, what is where, and what a client has to reckon with."""
    exchange.accepts(JSON)
    limits = exchange.limits
    links = {name: exchange.root + path for name, path in LINKS.items()}
    if not exchange.service.console:
        del links["console"]
    return reply(
        Front(
            name="supersoniq",
            version=supersoniq.__version__,
            links=links,
            durability=exchange.service.broker.backend.capabilities.durability,
            limits={name: getattr(limits, name) for name in LIMITS},
        )
    )


@described(query=None, gives={200: Gives.json("It is.", Health)}, store=False, picky=False)
async def live(exchange: Exchange) -> Reply:
    """``GET /health/live``: whether the process answers at all."""
    return reply(Health())


@described(query=None, gives={200: Gives.json("It is.", Health)}, picky=False)
async def ready(exchange: Exchange) -> Reply:
    """``GET /health/ready``: whether the store answers, and new requests are welcome."""
    if exchange.service.draining:
        raise Closed("the server")
    try:
        async with asyncio.timeout(PATIENCE):
            await exchange.service.broker.engine.call(Queues())
    except TimeoutError:
        raise BackendUnavailable(f"no answer within {PATIENCE:g} s") from None
    return reply(Health())
