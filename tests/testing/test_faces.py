"""The faces on the memory backend and on the reference store."""

from __future__ import annotations

from supersoniq.testing.faces import FaceConformance
from supersoniq.testing.reference import ReferenceHarness
from tests.backends.test_memory import MemoryHarness


class TestMemoryFaces(FaceConformance):
    harness = MemoryHarness


class TestReferenceFaces(FaceConformance):
    harness = ReferenceHarness
