"""``GET /openapi.json``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from supersoniq.adapters.http.described import Gives, described
from supersoniq.adapters.http.exchange import Exchange, Reply, reply
from supersoniq.adapters.http.media import JSON

__all__ = ["document"]


@described(query=None, gives={200: Gives.json("The document.", dict[str, Any])}, store=False)
async def document(exchange: Exchange) -> Reply:
    """``GET /openapi.json``: this document."""
    exchange.accepts(JSON)
    servers = [{"url": quote(exchange.root) or "/"}]
    return reply({**exchange.service.document(), "servers": servers})
