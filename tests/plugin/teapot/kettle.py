"""A backend and a server whose extra is not installed."""

from __future__ import annotations

import a_leaf_that_does_not_exist  # type: ignore[import-not-found]  # noqa: F401  # on purpose
