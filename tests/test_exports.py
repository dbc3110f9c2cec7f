"""The public names are these, each is documented, and errors keep their promises."""

from __future__ import annotations

import inspect
import pickle

import pytest

import supersoniq
from supersoniq.core import errors


def all_errors() -> list[type[errors.SupersoniqError]]:
    return [getattr(errors, name) for name in errors.__all__ if name[0].isupper()]


def sample(kind: type[errors.SupersoniqError]) -> errors.SupersoniqError:
    return kind(**{name: f"<{name}>" for name in kind.fields})


def test_every_exported_name_exists_and_is_documented() -> None:
    for name in supersoniq.__all__:
        thing = getattr(supersoniq, name)
        assert inspect.getdoc(thing), name


def test_every_error_is_exported_at_the_top() -> None:
    missing = {kind.__name__ for kind in all_errors()} - set(supersoniq.__all__)
    assert not missing


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_is_documented_says_its_facts_and_travels(
    kind: type[errors.SupersoniqError],
) -> None:
    assert inspect.getdoc(kind)
    error = sample(kind)
    for name in kind.fields:
        assert getattr(error, name) == f"<{name}>"
        assert f"<{name}>" in str(error) or name in ("id", "limit", "queue", "key", "missing")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.data == error.data
    if kind.fields:
        rebuilt = errors.error_from_data(kind.code, error.data, str(error))
        assert type(rebuilt) is kind
        assert str(rebuilt) == str(error)


def test_each_error_has_its_own_code() -> None:
    codes = [kind.code for kind in all_errors()]
    assert len(codes) == len(set(codes))


def test_an_unknown_error_becomes_an_unknown_outcome() -> None:
    assert isinstance(errors.error_from_data("from-the-future", {}, "?"), errors.OutcomeUnknown)


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        ("QueueNotFound", LookupError),
        ("MessageNotFound", LookupError),
        ("UnknownBackend", LookupError),
        ("UnknownServer", LookupError),
        ("MissingExtra", ImportError),
        ("InvalidName", ValueError),
        ("InvalidPolicy", ValueError),
        ("ContentTooLarge", ValueError),
        ("KeyConflict", ValueError),
        ("LeaseLost", RuntimeError),
        ("MessageLeased", RuntimeError),
        ("BackendUnavailable", ConnectionError),
        ("OutcomeUnknown", ConnectionError),
        ("AuthenticationFailed", PermissionError),
        ("PermissionDenied", PermissionError),
        ("RateLimited", RuntimeError),
        ("TooManyOpen", RuntimeError),
        ("TooManyQueues", RuntimeError),
        ("Closed", RuntimeError),
    ],
)
def test_an_error_is_also_of_the_fitting_standard_type(
    kind: str, standard: type[Exception]
) -> None:
    assert issubclass(getattr(supersoniq, kind), standard)


def test_an_error_with_wrong_facts_is_a_bug() -> None:
    with pytest.raises(TypeError):
        errors.QueueFull("a")
    with pytest.raises(TypeError):
        errors.QueueFull("a", 1, 2, 3)
