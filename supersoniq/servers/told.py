"""What marks a line of log on a connection, so that it can be looked for: ``extra=CUT``."""

from __future__ import annotations

__all__ = ["CUT", "REFUSED"]

REFUSED = {"event": "connection-refused"}
"""Nobody was let in, or a request was not looked at: too many, or not what is spoken here."""
CUT = {"event": "connection-cut"}
"""A connection, or a stream, was ended by the server, and the line says why."""
