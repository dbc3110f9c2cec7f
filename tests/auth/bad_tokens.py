"""Every way to make a bad token where ``SECRET`` is the key."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from typing import Any

from tests.auth.tokens import (
    AUDIENCE,
    EC,
    ED,
    HEADER,
    ISSUER,
    NOW,
    OTHER,
    RSA,
    SECRET,
    claims,
    good,
    made,
    nested,
    part,
    pem,
    signed,
)


def bad_tokens() -> Iterator[tuple[str, str]]:
    """Names and tokens that must not let anybody in where ``SECRET`` is the key."""
    yield from _shapes()
    yield from _headers()
    yield from _algorithms()
    yield from _signatures()
    yield from _claims()


def _shapes() -> Iterator[tuple[str, str]]:
    token = good()
    first, second, third = token.split(".")
    yield "empty", ""
    yield "a dot", "."
    yield "two dots", ".."
    yield "three dots", "..."
    yield "a word", "token"
    yield "null", "null"
    yield "one part", first
    yield "two parts", f"{first}.{second}"
    yield "no signature", f"{first}.{second}."
    yield "no header", f".{second}.{third}"
    yield "no claims", f"{first}..{third}"
    yield "four parts", f"{token}.{third}"
    yield "five parts, as if encrypted", f"{first}.{second}.{third}.{first}.{second}"
    yield "a dot behind", token + "."
    yield "a dot in front", "." + token
    for name, more in {
        "a letter": "A",
        "four letters": "AAAA",
        "an equals sign": "=",
        "padding": "==",
        "a percent sign": "%",
        "a plus": "+",
        "a slash": "/",
        "a null": "%00",
        "a comma": ",",
    }.items():
        yield f"{name} behind", token + more
    yield "padding in the middle", f"{first}=.{second}.{third}"
    yield "another last letter of the same bits", _bent(token)
    yield "standard base64", token.replace("-", "+").replace("_", "/") + "+/"
    yield "twice", token + token
    yield "twice with a comma", f"{token},{token}"
    yield "quoted", f'"{token}"'
    yield "upper case", token.upper()
    yield "lower case", token.lower()
    yield "reversed", token[::-1]
    yield "1 MiB of letters", "A" * (1 << 20)
    yield "1 MiB of dots", "." * (1 << 20)
    yield "1 MiB of claims", good(more="x" * (1 << 20))
    yield "9 KiB of claims", good(more="x" * 9000)
    yield "1 MiB behind", token + "A" * (1 << 20)
    yield (
        "a JSON serialization",
        json.dumps({"payload": second, "protected": first, "signature": third}),
    )
    yield "a bearer in a bearer", f"Bearer.{token}"


def _headers() -> Iterator[tuple[str, str]]:
    jwk = {"kty": "oct", "k": part(OTHER)}
    headers: dict[str, dict[str, Any]] = {
        "crit": {"crit": ["exp"]},
        "empty crit": {"crit": []},
        "crit b64": {"crit": ["b64"], "b64": False},
        "b64 alone": {"b64": False},
        "crit that is text": {"crit": "exp"},
        "null crit": {"crit": None},
        "its own key": {"jwk": jwk},
        "a null key": {"jwk": None},
        "the address of keys": {"jku": "https://evil.example/keys"},
        "an address here": {"jku": "http://127.0.0.1/keys"},
        "a certificate": {"x5c": ["MIIB"]},
        "the address of a certificate": {"x5u": "https://evil.example"},
        "compression": {"zip": "DEF"},
        "encryption": {"enc": "A256GCM"},
        "kid that is a number": {"kid": 1},
        "kid that is a list": {"kid": ["a"]},
        "kid that is an object": {"kid": {}},
        "kid of 10,000 letters": {"kid": "k" * 3000},
        "kid false": {"kid": False},
        "typ of another kind": {"typ": "secevent+jwt"},
        "typ id_token": {"typ": "ID"},
        "typ that is a number": {"typ": 1},
        "typ null": {"typ": None},
        "typ empty": {"typ": ""},
        "typ jose": {"typ": "JOSE"},
        "typ dpop": {"typ": "dpop+jwt"},
        "typ logout": {"typ": "logout+jwt"},
    }
    for name, more in headers.items():
        yield f"header with {name}", made({**HEADER, **more}, claims())
    yield "signed with the key it brings", made({**HEADER, "jwk": jwk}, claims(), OTHER)
    yield "header that is a list", made(["HS256"], claims())
    yield "header that is text", made("HS256", claims())
    yield "header that is null", made(None, claims())
    yield "header that is a number", made(1, claims())
    yield "header that is no JSON", made(b"{alg: HS256}", claims())
    yield "header that is no UTF-8", made(b'{"alg":"HS256","x":"\xff"}', claims())
    yield "header in UTF-16", made(json.dumps(HEADER).encode("utf-16"), claims())
    yield (
        "header with a byte order mark",
        made(b"\xef\xbb\xbf" + json.dumps(HEADER).encode(), claims()),
    )
    yield "header with NaN", made(b'{"alg":"HS256","x":NaN}', claims())
    yield "header with alg twice", made(b'{"alg":"none","alg":"HS256"}', claims())
    yield (
        "header that is deep",
        made(b'{"alg":"HS256","x":' + b"[" * 2500 + b"]" * 2500 + b"}", claims()),
    )
    yield "header a level too deep", made({**HEADER, "x": nested(32)}, claims())
    yield "empty header", made({}, claims())
    yield "header with something behind", made(b'{"alg":"HS256"} {}', claims())
    for kid in (
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "${jndi:ldap://x}",
        "\u0000",
        "a\nb",
    ):
        yield f"empty key by kid {kid!r}", made({**HEADER, "kid": kid}, claims(), b"")
        yield f"a null key by kid {kid!r}", made({**HEADER, "kid": kid}, claims(), b"\0")


def _algorithms() -> Iterator[tuple[str, str]]:
    body = part(claims())
    for name in (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "hs256",
        "HS",
        "HS256 ",
        " HS256",
        "HS256\u0000",
    ):
        yield f"alg {name!r}", made({**HEADER, "alg": name}, claims())
        yield f"alg {name!r} unsigned", f"{part({'alg': name})}.{body}."
        yield f"alg {name!r} with a signature of a letter", f"{part({'alg': name})}.{body}.AA"
    for value in (None, 1, True, ["HS256"], {"HS256": 1}):
        yield f"alg {value!r}", made({**HEADER, "alg": value}, claims())
    yield "no alg", made({"typ": "JWT"}, claims())
    for name, digest in (("HS384", "sha384"), ("HS512", "sha512"), ("HS1", "sha1")):
        yield f"alg {name}, well signed", made({"alg": name}, claims(), digest=digest)
    for name in ("RS256", "ES256", "EdDSA", "PS256", "ES384", "RS512", "ES256K", "A128KW", "dir"):
        yield f"alg {name} signed with the secret", made({"alg": name}, claims())
    yield "RS256 by somebody", signed(RSA, "RS256")
    yield "ES256 by somebody", signed(EC, "ES256")
    yield "EdDSA by somebody", signed(ED, "EdDSA")
    yield "PS256 by somebody", signed(RSA, "PS256")
    for name, key in (("RSA", RSA), ("P-256", EC), ("Ed25519", ED)):
        yield f"a public {name} key as the secret", made(HEADER, claims(), pem(key).encode())


def _signatures() -> Iterator[tuple[str, str]]:
    first, second, third = good().split(".")
    for name, secret in {
        "another secret": OTHER,
        "an empty secret": b"",
        "part of the secret": SECRET[:-1],
        "more than the secret": SECRET + b"\n",
        "the word secret": b"secret",
        "a null": b"\0",
    }.items():
        yield f"signed with {name}", made(HEADER, claims(), secret)
    raw = base64.urlsafe_b64decode(third + "=")
    yield "a short signature", f"{first}.{second}.{part(raw[:16])}"
    yield "a long signature", f"{first}.{second}.{part(raw + raw)}"
    yield "a signature with a byte behind", f"{first}.{second}.{part(raw + bytes(1))}"
    yield "a signature of nulls", f"{first}.{second}.{part(bytes(32))}"
    for bit in (0, 7, 100, 255):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"a signature with bit {bit} flipped", f"{first}.{second}.{part(bytes(flipped))}"
    yield "somebody else's claims", f"{first}.{part(claims(sub='root'))}.{third}"
    yield "another header", f"{part({**HEADER, 'kid': 'x'})}.{second}.{third}"
    yield (
        "signed over the claims alone",
        f"{first}.{second}." + part(hmac.new(SECRET, second.encode(), "sha256").digest()),
    )


def _claims() -> Iterator[tuple[str, str]]:
    changes: dict[str, dict[str, Any]] = {
        "no exp": {"exp": ...},
        "exp null": {"exp": None},
        "exp in text": {"exp": str(int(NOW) + 600)},
        "exp true": {"exp": True},
        "exp in a list": {"exp": [int(NOW) + 600]},
        "exp 1e300": {"exp": 1e300},
        "exp of 400 digits": {"exp": 10**400},
        "exp 2**63": {"exp": 1 << 63},
        "exp in milliseconds": {"exp": int(NOW + 600) * 1000},
        "exp just now": {"exp": int(NOW)},
        "exp a second ago": {"exp": int(NOW) - 1},
        "exp 0": {"exp": 0},
        "exp negative": {"exp": -1},
        "exp in a hundred years": {"exp": int(NOW) + 3_155_760_000},
        "exp in 91 days": {"exp": int(NOW) + 91 * 86_400},
        "exp empty": {"exp": ""},
        "exp an object": {"exp": {}},
        "nbf ahead": {"nbf": int(NOW) + 3600},
        "nbf in text": {"nbf": "0"},
        "nbf 1e300": {"nbf": 1e300},
        "nbf null": {"nbf": None},
        "iat ahead": {"iat": int(NOW) + 3600},
        "iat in text": {"iat": "now"},
        "iat true": {"iat": True},
        "no aud": {"aud": ...},
        "aud null": {"aud": None},
        "another aud": {"aud": "other.example"},
        "aud empty": {"aud": ""},
        "aud an empty list": {"aud": []},
        "other auds": {"aud": ["a", "b"]},
        "aud a number": {"aud": 1},
        "aud with a number in it": {"aud": [AUDIENCE, 1]},
        "aud an object": {"aud": {AUDIENCE: 1}},
        "aud with a star": {"aud": "*"},
        "part of aud": {"aud": AUDIENCE[:-1]},
        "aud in capitals": {"aud": AUDIENCE.upper()},
        "no iss": {"iss": ...},
        "iss null": {"iss": None},
        "another iss": {"iss": "https://evil.example"},
        "iss with a slash": {"iss": ISSUER + "/"},
        "iss in a list": {"iss": [ISSUER]},
        "iss empty": {"iss": ""},
        "iss in capitals": {"iss": ISSUER.upper()},
        "iss with a null": {"iss": ISSUER + "\u0000"},
        "no sub": {"sub": ...},
        "sub null": {"sub": None},
        "sub empty": {"sub": ""},
        "sub a number": {"sub": 1},
        "sub in a list": {"sub": ["anna"]},
        "sub of 257 letters": {"sub": "a" * 257},
        "sub with a line end": {"sub": "a\r\nb"},
        "sub with a null": {"sub": "a\u0000"},
        "sub with half a letter": {"sub": "\ud800"},
        "scope a list": {"scope": ["publish:*"]},
        "scope a number": {"scope": 1},
        "scope null": {"scope": None},
        "scope an object": {"scope": {"publish": "*"}},
        "scope true": {"scope": True},
    }
    for name, change in changes.items():
        yield name, good(**change)
    for name, body in {
        "a list": b"[]",
        "a number": b"1",
        "null": b"null",
        "text": b'"x"',
        "nothing": b" ",
        "no JSON": b"{sub: 1}",
        "no UTF-8": b'{"sub":"\xff"}',
        "deep": b"[" * 2500 + b"]" * 2500,
        "NaN for exp": b'{"sub":"a","exp":NaN}',
        "Infinity for exp": b'{"sub":"a","exp":Infinity}',
    }.items():
        yield f"claims that are {name}", made(HEADER, body)
    twice = json.dumps(claims())[:-1] + f', "exp": {int(NOW) + 700}}}'
    yield "claims a level too deep", good(x=nested(32))
    yield "exp twice", made(HEADER, twice.encode())
    yield "sub twice", made(HEADER, (json.dumps(claims())[:-1] + ', "sub": "root"}').encode())


def _bent(token: str) -> str:
    """The same bytes by a lax decoder, in another text."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = alphabet.index(token[-1])
    return token[:-1] + alphabet[place ^ 1]
