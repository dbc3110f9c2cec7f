"""The faces on the backends and on the reference store."""

from __future__ import annotations

from supersoniq.testing.faces import FaceConformance
from supersoniq.testing.reference import ReferenceHarness
from tests.backends.test_memory import MemoryHarness
from tests.backends.test_sqlite_conformance import SqliteHarness


class TestMemoryFaces(FaceConformance):
    harness = MemoryHarness


class TestReferenceFaces(FaceConformance):
    harness = ReferenceHarness


class TestSqliteFaces(FaceConformance):
    harness = SqliteHarness
