"""The Python face: what ``supersoniq.connect`` gives.

Broker -> Queue -> Delivery are what users hold. Under them, ``Engine`` turns calls into operations
for one backend: the ``Coalescer`` makes batches of concurrent calls, and a ``WaitingRoom`` for each
kind of consumer leases for all of them at once and wakes them.
"""
