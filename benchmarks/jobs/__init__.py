"""Job queues on Redis, each doing nothing as fast as it can; ``common`` says how."""
