"""Our own protocol servers: they know ASGI, and nothing of queues.

uvicorn has the sockets, the event loop, signals and HTTP/1.1. What it lacks is here, as a class for
its ``http=`` option (``negotiate.Negotiator``): HTTP/2 with push, and WebSocket over it.
"""
