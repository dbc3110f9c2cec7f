"""The contract's guarantees once more, as Python programs meet them: Broker, Queue, Delivery.

A backend that passes the port's suite needs this less than a *face* does: whoever changes the API,
or writes a backend that is itself a client, runs it to see that waiting, cancelling, closing and
draining lose nothing. Time is real here, so the waits are short::

    class TestFaces(FaceConformance):
        harness = MyHarness
"""

from supersoniq.testing.conformance.suite import Check, Conformance, collect
from supersoniq.testing.faces import calling, consuming
from supersoniq.testing.faces.trial import FaceTrial

__all__ = ["FACE_CHECKS", "FaceConformance", "FaceTrial"]

FACE_CHECKS: dict[str, Check] = {}
"""Every check of the faces by its name."""

collect([calling, consuming], FACE_CHECKS, FaceTrial)


class FaceConformance(Conformance):
    """The faces' suite as a pytest class; see ``Conformance``."""

    checks = FACE_CHECKS
