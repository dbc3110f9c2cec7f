"""The port as data: what travels between a program and the server that holds its queues.

    parts       shapes that several calls share: a message's options, a settlement
    operations  every operation of the port, both ways: written by a client, checked by a server
    answers     what became of each, both ways: written by a server, understood by a client

A transport (a POST, a frame) carries bytes; what stands in them is decided here, once, for both
ends. In MessagePack content is bytes as they are, in JSON it is base64. A server believes nothing:
whatever comes out of ``operations`` has passed the same checks as a Python caller's arguments.
"""
