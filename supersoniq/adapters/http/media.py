"""Media types, and how much a client likes them."""

from __future__ import annotations

__all__ = ["JSON", "MSGPACK", "NDJSON", "PROBLEM", "SSE", "liking"]

JSON, PROBLEM = "application/json", "application/problem+json"
MSGPACK = "application/msgpack"
NDJSON, SSE = "application/x-ndjson", "text/event-stream"


def liking(accept: str, offer: str) -> float:
    """How much an ``Accept`` field (RFC 9110, section 12.5.1) wants a media type; 0: not at all."""
    best = (-1, 0.0)
    for part in accept.lower().split(","):
        kind, *parameters = (text.strip() for text in part.split(";"))
        if kind == offer:
            precision = 2
        elif kind == offer.partition("/")[0] + "/*":
            precision = 1
        elif kind == "*/*":
            precision = 0
        else:
            continue
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        best = max(best, (precision, weight))
    return best[1]
