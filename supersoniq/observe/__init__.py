"""Seeing how it goes: figures, and lines of log.

``tally`` collects in plain numbers what a store does not count itself, ``figures`` asks the store
for what it does, ``meter`` puts both together, and ``families`` makes prometheus-client's metric
families of them. There is no global state: two apps in one process have two of everything.
"""

from __future__ import annotations

from supersoniq.observe.meter import Meter

__all__ = ["Meter"]
