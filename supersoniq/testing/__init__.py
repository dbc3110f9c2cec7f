"""What somebody who writes a backend, or a program on top of one, tests with.

- ``ManualClock``: a clock that a test moves, so nobody sleeps.
- ``Harness``: how the suite gets at a store. Fill it in for yours.
- ``Conformance`` and ``check``: the contract's eleven guarantees, each by name.
- ``supersoniq.testing.model`` and ``simulate``: your store against the core, step by step.
- ``supersoniq.testing.strategies``: Hypothesis strategies for what a queue takes.
- ``supersoniq.testing.history``: what many processes did, and whether a queue could have done it.
- ``supersoniq.testing.faults``: stores that are broken on purpose, to test the tests.

``docs/testing-a-backend.md`` shows how. Only ``model`` and ``strategies`` need Hypothesis, and
nothing here needs pytest: install ``supersoniq[testing]`` for both.
"""

from supersoniq.testing.clock import ManualClock
from supersoniq.testing.conformance import Conformance, Report, check
from supersoniq.testing.harness import Harness

__all__ = ["Conformance", "Harness", "ManualClock", "Report", "check"]
