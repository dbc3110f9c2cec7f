"""SupersoniQ measured against what its users would otherwise use. Start with ``run.py``."""
