"""The list of checks, and the two ways to run it.

A check is an async function of a ``Trial``. Its name begins with the guarantee that it is about:
``g01`` to ``g11`` are the contract's, in its order; the other words (``recipient``, ``policy``,
``browse`` and so on) are what the contract says elsewhere. Checks apply to every store, except
those that say which capability they are about; a capability that is claimed is checked.
"""

from __future__ import annotations

import asyncio
import traceback
import unittest
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from supersoniq.testing.conformance.trial import Trial
from supersoniq.testing.harness import Harness, HarnessFactory

__all__ = ["CHECKS", "GUARANTEES", "Check", "Conformance", "Report", "check", "needs", "run"]

GUARANTEES = {
    "g01": "nothing acknowledged is lost",
    "g02": "at least once",
    "g03": "stale receipts change nothing",
    "g04": "order",
    "g05": "poison stops",
    "g06": "publish once",
    "g07": "conservation",
    "g08": "a failure is one of two kinds",
    "g09": "waiting is cheap and wakes at once",
    "g10": "a slow or dead consumer harms nobody",
    "g11": "corruption is never delivered and never cleaned up",
}
"""The contract's guarantees (section 3) by the word that their checks begin with."""

LONGEST = 60.0
"""Seconds that one check may take: a store that hangs has failed it."""

Function = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    function: Function
    needs: str | None
    """The capability without which it does not apply: ``lasting``, ``shared`` or ``medium``."""
    trial: Callable[[Harness], Any] = Trial
    """Makes what the function is given."""


CHECKS: dict[str, Check] = {}
"""Every check by its name, in the contract's order."""


def needs(capability: str) -> Callable[[Function], Function]:
    """The check is only about stores that claim this capability."""

    def mark(function: Function) -> Function:
        function.needs = capability  # type: ignore[attr-defined]  # read by collect()
        return function

    return mark


def collect(
    modules: Iterable[Any], checks: dict[str, Check], trial: Callable[[Harness], Any] = Trial
) -> None:
    """Enter the checks of modules: their public async functions, in the order they stand in."""
    for module in modules:
        for name, function in vars(module).items():
            own = getattr(function, "__module__", None) == module.__name__
            if own and asyncio.iscoroutinefunction(function) and not name.startswith("_"):
                checks[name] = Check(name, function, getattr(function, "needs", None), trial)


async def run(check: Check, harness: Harness) -> bool:
    """Run one check on a fresh store and close it. Says whether it applied.

    Raises:
        Exception: what the check found.
    """
    trial = check.trial(harness)
    try:
        async with asyncio.timeout(LONGEST):
            await trial.open()
            if check.needs is not None:
                claims = harness.medium if check.needs == "medium" else None
                if not (getattr(trial.can, check.needs) if claims is None else claims):
                    return False
            await check.function(trial)
            return True
    finally:
        await trial.finish()


@dataclass
class Report:
    """What came of a run of the suite."""

    passed: list[str] = field(default_factory=list)
    inapplicable: list[str] = field(default_factory=list)
    """Checks of capabilities that the store does not claim."""
    failed: dict[str, BaseException] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def broken(self) -> set[str]:
        """The words of the guarantees that failed."""
        return {name.partition("_")[0] for name in self.failed}

    def __str__(self) -> str:
        lines = [
            f"{len(self.passed)} checks passed, {len(self.failed)} failed,"
            f" {len(self.inapplicable)} are about what this store does not claim"
        ]
        for name, error in self.failed.items():
            word = name.partition("_")[0]
            promise = f" (guarantee {int(word[1:])}: {GUARANTEES[word]})" * (word in GUARANTEES)
            what = "".join(traceback.format_exception_only(error)).strip()
            lines.append(f"  {name}{promise}\n    {what}")
        return "\n".join(lines)


async def check(
    harness: HarnessFactory,
    names: Iterable[str] | None = None,
    checks: Mapping[str, Check] = CHECKS,
) -> Report:
    """Run the suite, each check on a store of its own.

    Args:
        harness: makes a fresh store.
        names: only the checks whose names begin with one of these; ``None`` is all.
        checks: those of the port, or those of the faces (``supersoniq.testing.faces``).
    """
    wanted = tuple(names) if names is not None else ("",)
    report = Report()
    for entry in checks.values():
        if not entry.name.startswith(wanted):
            continue
        try:
            applied = await run(entry, harness())
        except Exception as error:
            report.failed[entry.name] = error
        else:
            (report.passed if applied else report.inapplicable).append(entry.name)
    return report


class Conformance:
    """The suite as a pytest class; no plugin is needed.

    A backend's own test file is this::

        class TestMyBackend(Conformance):
            harness = MyHarness
    """

    harness: ClassVar[HarnessFactory]
    """Makes a fresh store: a ``Harness`` class, or a function that gives one."""

    checks: ClassVar[Mapping[str, Check]] = CHECKS
    __test__: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "harness" in vars(cls):
            cls.__test__ = True
            for entry in cls.checks.values():
                setattr(cls, f"test_{entry.name}", _method(entry))


def _method(entry: Check) -> Callable[[Any], None]:
    def method(self: Conformance) -> None:
        # In a loop of its own: nothing of one check can reach into the next.
        if not asyncio.run(run(entry, type(self).harness())):
            raise unittest.SkipTest(f"the store does not claim to be {entry.needs}")

    method.__name__ = f"test_{entry.name}"
    method.__doc__ = entry.function.__doc__
    return method
