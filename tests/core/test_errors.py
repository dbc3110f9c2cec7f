"""Errors carry their facts across a process border."""

from __future__ import annotations

import queue

import pytest

from supersoniq.core import errors
from supersoniq.core.errors import OutcomeUnknown, SupersoniqError, error_from_data

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "error_from_data"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_rebuilt_from_its_data(kind: type[SupersoniqError]) -> None:
    error = kind(**dict.fromkeys(kind.fields, "7"))
    assert list(error.data) == list(kind.fields)
    assert error.args == tuple("7" for _ in kind.fields)
    if kind.fields:
        assert str(error)
        again = error_from_data(kind.code, error.data, str(error))
        assert type(again) is kind
        assert again.data == error.data
    with pytest.raises(TypeError):
        kind(*("7" for _ in range(len(kind.fields) + 1)))
    with pytest.raises(TypeError):
        kind(nothing=1)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)


def test_what_cannot_be_rebuilt_is_an_unknown_outcome() -> None:
    for code, data in (("nonsense", {}), ("queue-full", {"queue": "q"}), ("error", {})):
        assert isinstance(error_from_data(code, data, "text"), OutcomeUnknown)


def test_errors_are_what_their_users_catch() -> None:
    assert issubclass(errors.QueueFull, queue.Full)
    assert issubclass(errors.KeyConflict, ValueError)
    assert issubclass(errors.MessageNotFound, LookupError)
    assert issubclass(errors.MissingExtra, ImportError)
    assert issubclass(errors.OutcomeUnknown, ConnectionError)
    assert issubclass(errors.PermissionDenied, PermissionError)
