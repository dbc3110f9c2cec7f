"""Keys that an issuer publishes: fetched, rotated, and used on through an outage."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from supersoniq.auth import Caller, Issuer, Jwks, Verifier
from supersoniq.core.errors import AuthenticationFailed, InvalidSetting, KeysUnavailable
from tests.auth import tokens


class Site:
    """Where keys are published."""

    def __init__(self) -> None:
        self.body: Any = {"keys": []}
        self.status = 200
        self.fetches = 0
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.fetches += 1
                site.asked.set()
                site.gate.wait(60)
                raw = site.body if isinstance(site.body, bytes) else json.dumps(site.body).encode()
                self.send_response(site.status)
                self.send_header("content-length", str(len(raw)))
                self.send_header("location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        # It looks that often whether it is to end.
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.gate.set()
    site.server.shutdown()
    site.server.server_close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def published(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    public = key.public_key()
    algorithm: Any = (
        jwt.algorithms.RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.ECAlgorithm
        if isinstance(key, ec.EllipticCurvePrivateKey)
        else jwt.algorithms.OKPAlgorithm
    )
    found: dict[str, Any] = algorithm.to_jwk(public, as_dict=True)
    return {**found, **({} if kid is None else {"kid": kid}), **more}


def trusting(site: Site, clock: Clock | None = None) -> Verifier:
    keys = Jwks(site.url, lifetime=300, cooldown=10, timeout=60, monotonic=clock or Clock())
    return Verifier(Issuer(keys, name=tokens.ISSUER), now=lambda: tokens.NOW)


def by(key: Any, algorithm: str, kid: str | None, **change: Any) -> str:
    headers = None if kid is None else {"kid": kid}
    return tokens.signed(key, algorithm, headers, **change)


def test_each_kind_of_key(site: Site) -> None:
    made = {"RS256": tokens.RSA, "ES256": tokens.EC, "EdDSA": tokens.ED}
    site.body = {"keys": [published(key, name) for name, key in made.items()]}

    async def main() -> None:
        verifier = trusting(site)
        for name, key in made.items():
            assert (await verifier.verify(by(key, name, name))).subject == "anna"
            assert (await verifier.verify(by(key, name, None))).subject == "anna"
        with pytest.raises(AuthenticationFailed):
            await verifier.verify(by(tokens.EC, "ES256", "RS256"))

    asyncio.run(main())
    assert site.fetches == 1


def test_a_new_key_is_found_without_a_restart(site: Site) -> None:
    clock = Clock()
    site.body = {"keys": [published(tokens.RSA, "old")]}

    async def main() -> None:
        verifier = trusting(site, clock)
        await verifier.verify(by(tokens.RSA, "RS256", "old"))
        site.body = {"keys": [published(tokens.EC, "new")]}
        clock.now += 11
        await verifier.verify(by(tokens.EC, "ES256", "new"))
        with pytest.raises(AuthenticationFailed, match="not among"):
            await verifier.verify(by(tokens.RSA, "RS256", "old", jti="another"))

    asyncio.run(main())


def test_invented_names_make_no_traffic(site: Site) -> None:
    clock = Clock()
    site.body = {"keys": [published(tokens.RSA, "a")]}

    async def main() -> None:
        verifier = trusting(site, clock)
        for number in range(50):
            clock.now += 0.1
            with pytest.raises(AuthenticationFailed):
                await verifier.verify(by(tokens.RSA, "RS256", f"invented {number}"))

    asyncio.run(main())
    assert site.fetches == 1


def test_an_outage_is_survived(site: Site) -> None:
    clock = Clock()
    site.body = {"keys": [published(tokens.RSA, "a")]}

    async def main() -> None:
        verifier = trusting(site, clock)
        await verifier.verify(by(tokens.RSA, "RS256", "a"))
        for status, body in (
            (500, b""),
            (200, b"<html>"),
            (200, []),
            (302, b""),
            (200, {"keys": 1}),
        ):
            site.status, site.body = status, body
            clock.now += 400
            before, number = site.fetches, 0
            while site.fetches == before:  # the fetch before may still be under way
                number += 1
                await verifier.verify(by(tokens.RSA, "RS256", "a", jti=f"{status} {number}"))
                await asyncio.sleep(0.01)
        site.status, site.body = 200, {"keys": [published(tokens.EC, "b")]}
        while True:
            clock.now += 400
            try:
                assert await verifier.verify(by(tokens.EC, "ES256", "b"))
                break
            except AuthenticationFailed:
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_without_any_key_nobody_gets_in_and_later_somebody_does(site: Site) -> None:
    clock = Clock()
    site.status = 503

    async def main() -> None:
        verifier = trusting(site, clock)
        token = by(tokens.RSA, "RS256", "a")
        with pytest.raises(KeysUnavailable):
            await verifier.verify(token)
        site.status, site.body = 200, {"keys": [published(tokens.RSA, "a")]}
        clock.now += 11
        assert (await verifier.verify(token)).subject == "anna"

    asyncio.run(main())


def test_callers_share_a_fetch_and_none_can_cancel_it_for_another(site: Site) -> None:
    site.body = {"keys": [published(tokens.RSA, "a")]}
    site.gate.clear()

    async def main() -> None:
        verifier = trusting(site)
        token = by(tokens.RSA, "RS256", "a")
        tasks: list[asyncio.Task[Caller]] = [
            asyncio.create_task(verifier.verify(token)) for _ in range(20)
        ]
        await asyncio.to_thread(site.asked.wait, 60)
        tasks[0].cancel()
        await asyncio.sleep(0)
        site.gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert all(isinstance(caller, Caller) for caller in done[1:])

    asyncio.run(main())
    assert site.fetches == 1


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
def test_keys_that_are_of_no_use_are_passed_over(site: Site) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    curve = ec.generate_private_key(ec.SECP384R1())
    secret = {"kty": "oct", "k": tokens.part(tokens.SECRET), "kid": "secret"}
    site.body = {
        "keys": [
            secret,
            published(weak, "weak"),
            published(curve, "curve"),
            published(tokens.RSA, "for encryption", use="enc"),
            published(tokens.RSA, "of another algorithm", alg="PS256"),
            jwt.algorithms.ECAlgorithm.to_jwk(tokens.EC, as_dict=True) | {"kid": "private"},
            {"kty": "RSA", "kid": "broken"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "not on the curve"},
            "text", None, 1, {},
            published(tokens.ED, "good"),
        ]
    }  # fmt: skip

    async def main() -> None:
        verifier = trusting(site)
        assert await verifier.verify(by(tokens.ED, "EdDSA", "good"))
        for token in (
            tokens.made({"alg": "HS256", "kid": "secret"}, tokens.claims()),
            by(weak, "RS256", "weak"),
            by(curve, "ES384", "curve"),
            by(tokens.RSA, "RS256", "for encryption"),
            by(tokens.RSA, "RS256", "of another algorithm"),
            by(tokens.RSA, "PS256", "of another algorithm"),
            by(tokens.EC, "ES256", "private"),
        ):
            with pytest.raises(AuthenticationFailed):
                await verifier.verify(token)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://issuer.example/keys", {}),
        ("file:///etc/passwd", {}),
        ("ftp://issuer.example", {}),
        ("issuer.example", {}),
        ("", {}),
        ("https://issuer.example", {"lifetime": 0}),
        ("https://issuer.example", {"cooldown": -1}),
        ("https://issuer.example", {"timeout": True}),
        ("https://issuer.example", {"ca": "/nowhere/ca.pem"}),
    ],
)
def test_addresses_that_cannot_be(url: str, options: Any) -> None:
    with pytest.raises(InvalidSetting):
        Jwks(url, **options)
