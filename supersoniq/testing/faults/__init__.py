"""Stores that are broken on purpose: the tests of the tests.

Each is the reference store with one fault that real queues have had. ``FAULTS`` names for each the
guarantee that must catch it; ``tests/testing/test_faults.py`` asserts that it does. To see whether
your own tests would notice, run them against ``harness(SomeFault)``.
"""

from __future__ import annotations

from collections.abc import Mapping

from supersoniq.testing.faults import operations, queues
from supersoniq.testing.harness import HarnessFactory
from supersoniq.testing.reference import ReferenceHarness, Store

__all__ = ["FAULTS", "harness"]


def harness(fault: type[Store]) -> HarnessFactory:
    """Harnesses of that broken store."""
    return lambda: ReferenceHarness(fault)


FAULTS: Mapping[type[Store], str] = {
    operations.LosesRestOfBatch: "g01",
    operations.ForgetsWhenOpened: "g01",
    operations.DeliversTwice: "g02",
    operations.DoesNotFence: "g03",
    queues.LateDeadlines: "g03",
    operations.OneVerdictForAll: "g03",
    queues.IgnoresPriority: "g04",
    queues.LosesPlace: "g04",
    operations.CountsReleases: "g05",
    queues.ImmortalOnLapse: "g05",
    operations.ForgetsKeysOnAck: "g06",
    operations.KeysBeforeMessages: "g06",
    operations.IgnoresConflicts: "g06",
    queues.LongWindow: "g06",
    operations.Miscounts: "g07",
    operations.PublishesPiecemeal: "g08",
    operations.WakesNobody: "g09",
    operations.DeafToReturns: "g09",
    operations.SleepsTooLong: "g09",
    queues.KeepsLeasesOfTheDead: "g10",
    queues.DeliversCorruption: "g11",
    queues.CleansUpCorruption: "g11",
    queues.LeaksRecipients: "recipient",
    operations.ForgetsPolicy: "policy",
    operations.ShiftingPages: "browse",
    operations.SilentGaps: "follow",
    operations.ImportsFinishedAgain: "import",
    operations.ImportsFresh: "import",
    operations.ImportsNeverAgain: "import",
}
"""The word of the guarantee that must catch each fault."""
