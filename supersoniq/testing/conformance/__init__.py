"""The contract's guarantees as tests, which every backend has to pass. See ``suite``."""

from supersoniq.testing.conformance import (
    corruption,
    delivery,
    events,
    failures,
    fencing,
    importing,
    keeping,
    keys,
    managing,
    order,
    poison,
    policies,
    pressure,
    recipients,
    retention,
    sums,
    waking,
)
from supersoniq.testing.conformance.suite import (
    CHECKS,
    GUARANTEES,
    Check,
    Conformance,
    Report,
    check,
    collect,
)
from supersoniq.testing.conformance.trial import Trial, Violation

__all__ = ["CHECKS", "GUARANTEES", "Check", "Conformance", "Report", "Trial", "Violation", "check"]

collect(
    [
        keeping,  # g01
        delivery,  # g02
        fencing,  # g03
        order,  # g04
        poison,  # g05
        keys,  # g06
        sums,  # g07
        failures,  # g08
        waking,  # g09
        pressure,  # g10
        corruption,  # g11
        recipients,
        policies,
        retention,
        managing,
        events,
        importing,
    ],
    CHECKS,
)
