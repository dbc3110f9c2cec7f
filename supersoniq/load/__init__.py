"""Simulated load: what a store or a server carries, measured through the library's own face.

A ``Plan`` says what to do, ``Load`` does it to one queue, a ``Report`` tells what came of it. Two
traps of such tools are avoided:

- *Coordinated omission* (Gil Tene, "How NOT to Measure Latency"): with a rate asked for, a publish
  that begins late because the one before was slow counts from when it was due, or the worst
  moments would be the least measured.
- *Believing one's own counts*: each message has a number, and at the end every message that the
  store has taken must have been finished or be dead. What is missing, or came again after it was
  finished, is told.
"""

from __future__ import annotations

from supersoniq.load.latency import Latency
from supersoniq.load.plan import Plan
from supersoniq.load.report import Report
from supersoniq.load.run import Load

__all__ = ["Latency", "Load", "Plan", "Report"]
