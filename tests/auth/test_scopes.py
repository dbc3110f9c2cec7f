from __future__ import annotations

from typing import Any

import pytest

from supersoniq.auth import Caller, Scopes, Verb, permitted
from supersoniq.auth.rights import VERBS
from supersoniq.core import ops
from supersoniq.core.errors import AuthenticationFailed, PermissionDenied
from supersoniq.core.messages import prepare


@pytest.mark.parametrize(
    ("scope", "verb", "queue"),
    [
        ("publish:orders", "publish", "orders"),
        ("publish:*", "publish", "orders"),
        ("publish:or*", "publish", "orders"),
        ("publish:orders*", "publish", "orders"),
        ("a b publish:orders c", "publish", "orders"),
        ("consume:x publish:y publish:orders", "publish", "orders"),
        ("  metrics:a.b-c_d  ", "metrics", "a.b-c_d"),
    ],
)
def test_allowed(scope: str, verb: str, queue: str) -> None:
    assert Scopes.parse(scope).allow(Verb(verb), queue)


@pytest.mark.parametrize(
    "scope",
    [
        "", " ", "publish", "publish:", "publish:order", "publish:orders2", "Publish:orders",
        "publish:Orders", "publish:orders.*", "publish: orders", "publish :orders", "*:orders", "*",
        "*:*", "publish:*s", "publish:or*rs", "publish:**", "publish:orders,consume:orders",
        "publish:orders;", "\tpublish:orders", "publish:orders\n", "consume:orders", "manage:*",
        "browse:* watch:* metrics:* consume:* manage:*", "publish:[a-z]*", "publish:o?ders",
        "publish:../*", "publish:/orders", "publish:.*", "publish:orders:*", "admin:*",
        "publish:%2A",
        "publish:\N{FULLWIDTH ASTERISK}", "publish\N{FULLWIDTH COLON}orders",
        "publish:orders\u0000",
    ],
)  # fmt: skip
def test_denied(scope: str) -> None:
    assert not Scopes.parse(scope).allow(Verb.PUBLISH, "orders")


def test_whoever_may_do_something_there_may_know_of_it() -> None:
    scopes = Scopes.parse("publish:a metrics:b*")
    assert [name for name in ("a", "aa", "b", "bb", "c") if scopes.see(name)] == ["a", "b", "bb"]


def caller(scope: str) -> Caller:
    return Caller("anna", Scopes.parse(scope), 100.0)


OPS: list[Any] = [
    ops.Publish("q", (prepare("x"),)),
    ops.Take("q"),
    ops.Settle("q", ()),
    ops.Look("q", 1),
    ops.Browse("q"),
    ops.Explain("q", 1),
    ops.Describe("q"),
    ops.Stats("q"),
    ops.Follow("q"),
    ops.Cancel("q", 1),
    ops.Redrive("q"),
    ops.Purge("q"),
    ops.Pause("q"),
    ops.Resume("q"),
    ops.Configure("q"),
    ops.Delete("q"),
    ops.Import("q"),
]


def test_every_operation_has_its_verbs() -> None:
    assert set(VERBS) == set(ops.Op.__subclasses__()) == {type(op) for op in OPS}


@pytest.mark.parametrize("op", OPS, ids=lambda op: type(op).__name__)
@pytest.mark.parametrize("verb", Verb)
def test_the_verb_decides(op: Any, verb: Verb) -> None:
    if verb in VERBS[type(op)]:
        permitted(caller(f"{verb}:q"), op, 0)
    else:
        with pytest.raises(PermissionDenied, match=f"{VERBS[type(op)][0]}:q"):
            permitted(caller(f"{verb}:q"), op, 0)
    with pytest.raises(PermissionDenied):
        permitted(caller(f"{verb}:p {verb}:qq {verb}:q.*"), op, 0)
    with pytest.raises(AuthenticationFailed, match="expired"):
        permitted(caller(f"{verb}:*"), op, 100.0)


def test_the_sender_is_who_the_token_says() -> None:
    op = ops.Publish("q", (prepare("x"), prepare("y", sender="eve", key="k")))
    done = permitted(caller("publish:q"), op, 0)
    assert isinstance(done, ops.Publish)
    assert [entry.details.sender for entry in done.entries] == ["anna", "anna"]
    assert done.entries[1].details.key == "k"
    assert [entry.content for entry in done.entries] == [b"x", b"y"]


def test_each_message_keeps_what_else_is_said_of_it() -> None:
    """Neighbours that share their details are signed together, and no others."""
    drafts = [{}, {}, {"key": "k"}, {}, {"sender": "anna", "key": "l"}, {"priority": 3}]
    entries = [prepare(str(n), **draft) for n, draft in enumerate(drafts)]  # type: ignore[arg-type]
    done = permitted(caller("publish:*"), ops.Publish("q", entries), 0)
    assert isinstance(done, ops.Publish)
    assert {entry.details.sender for entry in done.entries} == {"anna"}
    assert [entry.details.key for entry in done.entries] == [None, None, "k", None, "l", None]
    assert [entry.priority for entry in done.entries] == [0, 0, 0, 0, 0, 3]
    assert [entry.content for entry in done.entries] == [entry.content for entry in entries]


def test_a_recipient_is_oneself_or_nobody() -> None:
    for recipient in (None, "anna"):
        assert permitted(caller("consume:q"), ops.Take("q", recipient=recipient), 0)
    with pytest.raises(PermissionDenied, match="recipient"):
        permitted(caller("consume:*"), ops.Take("q", recipient="eve"), 0)


def test_anybody_may_ask_for_names() -> None:
    assert permitted(caller(""), ops.Queues(), 0) == ops.Queues()
