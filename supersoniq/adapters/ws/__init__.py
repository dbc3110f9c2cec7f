"""The WebSocket face: ``GET /ws``; its protocol is told in ``docs/websocket.md``.

    protocol   for uvicorn: a client that does not read is cut there, too
    endpoint   a connection's beginning: who may connect, which subprotocol, the count of them
    gate       whether a page of that origin may connect; where a token will be looked at
    session    one connection: reads frames, sees to each, ends in one of the ways of ``farewell``
    requests   what a request does: publish, settle, subscribe, credit, unsubscribe, ping
    operations the port itself, for the Python client: batches of operations, and what stirs
    terms      what those batches leased and the client has not settled
    frames     every frame, both ways, as a typed struct
    codec      the two subprotocols: from bytes to those structs and back
    outbox     what waits to be sent, within bounds, and what happens if it is not taken
    held       what a connection was given and has not settled
    work       a subscription that leases, within a credit
    broadcast  a subscription that is told every event
    farewell   how connections end: close codes, reasons, whether to come back

Nothing here decides anything about messages. Requests are handed to the engine in the order in
which they arrive, without a task for each: their answers come when they come.
"""
