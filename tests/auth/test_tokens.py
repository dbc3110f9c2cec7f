from __future__ import annotations

import asyncio
from typing import Any

import pytest

from supersoniq.auth import Caller, Issuer, Pem, Secret, Verb, Verifier
from supersoniq.core.errors import AuthenticationFailed, InvalidSetting
from tests.auth import tokens
from tests.auth.bad_tokens import bad_tokens

BAD = dict(bad_tokens())


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 150
    assert len(BAD) == len(list(bad_tokens())), "two have the same name"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_lets_nobody_in(name: str) -> None:
    with pytest.raises(AuthenticationFailed) as failed:
        asyncio.run(tokens.verifier().verify(BAD[name]))
    token = BAD[name]
    assert len(str(failed.value)) < 200
    assert not any(part in str(failed.value) for part in token.split(".") if len(part) > 8)


def verified(token: str, verifier: Verifier | None = None) -> Caller:
    return asyncio.run((verifier or tokens.verifier()).verify(token))


def test_a_good_token_tells_who_and_what() -> None:
    caller = verified(tokens.good(scope="publish:orders openid consume:mail.*"))
    assert (caller.subject, caller.expires) == ("anna", tokens.NOW + 600)
    assert caller.scopes.allow(Verb.PUBLISH, "orders")
    assert caller.scopes.allow(Verb.CONSUME, "mail.out")
    assert not caller.scopes.allow(Verb.PUBLISH, "mail.out")


@pytest.mark.parametrize(
    "change",
    [
        {"aud": ["other", tokens.AUDIENCE]},
        {"exp": tokens.NOW + 0.5},
        {"iat": tokens.NOW + 20, "nbf": tokens.NOW + 20},
        {"iat": ...},
        {"scope": ...},
        {"sub": "a" * 256},
        {"sub": "\N{LATIN SMALL LETTER E WITH ACUTE}ve"},
        {"more": {"of": ["other", "things"]}},
        {"deep": tokens.nested(31)},
    ],
)
def test_what_is_accepted(change: dict[str, Any]) -> None:
    assert verified(tokens.good(**change)).subject


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", ...])
def test_types(kind: Any) -> None:
    header = {"alg": "HS256"} if kind is ... else {"alg": "HS256", "typ": kind}
    assert verified(tokens.made(header, tokens.claims())).subject == "anna"


@pytest.mark.parametrize(
    ("key", "algorithm"), [(tokens.RSA, "RS256"), (tokens.EC, "ES256"), (tokens.ED, "EdDSA")]
)
def test_public_keys(key: Any, algorithm: str) -> None:
    verifier = tokens.public(key)
    assert verified(tokens.signed(key, algorithm), verifier).subject == "anna"
    public = tokens.pem(key)
    swapped = [
        tokens.made({"alg": "HS256"}, tokens.claims(), public.encode()),
        tokens.made({"alg": "HS256"}, tokens.claims(), public.strip().encode()),
        tokens.made({"alg": algorithm}, tokens.claims(), public.encode()),
        tokens.good(),
        *(
            tokens.signed(other, name)
            for other, name in ((tokens.RSA, "PS256"), (tokens.EC, "ES256"), (tokens.ED, "EdDSA"))
            if other is not key
        ),
    ]
    for token in swapped:
        with pytest.raises(AuthenticationFailed):
            verified(token, verifier)


def test_a_token_is_believed_until_it_expires_and_no_longer() -> None:
    now = tokens.NOW
    issuer = Issuer(Secret(tokens.SECRET))
    verifier = Verifier(issuer, now=lambda: now)
    token = tokens.good(exp=tokens.NOW + 30)

    async def main() -> None:
        nonlocal now
        first = await verifier.verify(token)
        assert await verifier.verify(token) is first
        now += 30
        with pytest.raises(AuthenticationFailed, match="expired"):
            await verifier.verify(token)

    asyncio.run(main())


def test_several_issuers_each_with_its_own_key() -> None:
    verifier = Verifier(
        Issuer(Secret(tokens.SECRET), name="a"),
        Issuer(Pem(tokens.pem(tokens.EC)), name="b"),
        now=lambda: tokens.NOW,
    )
    assert verified(tokens.good(iss="a"), verifier)
    assert verified(tokens.signed(tokens.EC, "ES256", iss="b"), verifier)
    for token in (
        tokens.good(iss="b"),
        tokens.signed(tokens.EC, "ES256", iss="a"),
        tokens.good(iss="c"),
        tokens.good(iss=...),
        tokens.good(iss=["a"]),
    ):
        with pytest.raises(AuthenticationFailed):
            verified(token, verifier)


@pytest.mark.parametrize("secret", ["", "short", b"x" * 31, 1, None, tokens.pem(tokens.RSA)])
def test_secrets_that_cannot_be(secret: Any) -> None:
    with pytest.raises(InvalidSetting) as failed:
        Secret(secret)
    assert "short" not in str(failed.value)


def test_keys_that_cannot_be(tmp_path: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    (tmp_path / "other.pem").write_text("hello")
    for source in (
        tmp_path / "missing.pem",
        tmp_path / "other.pem",
        tokens.private(tokens.RSA),
        tokens.pem(rsa.generate_private_key(65537, 1024)),
        tokens.pem(ec.generate_private_key(ec.SECP384R1())),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ):
        with pytest.raises(InvalidSetting) as failed:
            Pem(source)
        assert "PRIVATE KEY" not in str(failed.value)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithms": ["RS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"algorithms": "HS256"},
        {"name": ""},
        {"audience": 1},
        {"leeway": -1},
        {"leeway": 301},
        {"max_lifetime": float("nan")},
        {"max_lifetime": True},
    ],
)
def test_issuers_that_cannot_be(options: Any) -> None:
    with pytest.raises(InvalidSetting):
        Issuer(Secret(tokens.SECRET), **options)


def test_verifiers_that_cannot_be() -> None:
    key = Secret(tokens.SECRET)
    for issuers in ([], [Issuer(key), Issuer(key, name="a")], [Issuer(key, name="a")] * 2):
        with pytest.raises(InvalidSetting):
            Verifier(*issuers)
