"""Tokens to test with, and the keys of those who make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from supersoniq.auth import Issuer, Pem, Secret, Verifier

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef-and-more"
OTHER = b"fedcba9876543210fedcba9876543210-and-more"
AUDIENCE, ISSUER = "queue.example", "https://issuer.example"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    public: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def private(key: Any) -> str:
    raw: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return raw.decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good ones, but for the changes; ``...`` takes one away."""
    found: dict[str, Any] = {
        "sub": "anna",
        "exp": int(NOW) + 600,
        "iat": int(NOW),
        "aud": AUDIENCE,
        "iss": ISSUER,
        "scope": "publish:* consume:* browse:* watch:* manage:* metrics:*",
        **changes,
    }
    return {name: value for name, value in found.items() if value is not ...}


def nested(levels: int) -> dict[str, Any]:
    """So many objects, one in the other."""
    return {} if levels == 1 else {"x": nested(levels - 1)}


def part(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def made(header: Any, body: Any, secret: bytes = SECRET, digest: str = "sha256") -> str:
    """A token put together by hand: whatever it says, it is signed with a secret."""
    signed = f"{part(header)}.{part(body)}"
    mac = hmac.new(secret, signed.encode(), getattr(hashlib, digest)).digest()
    return f"{signed}.{part(mac)}"


def good(**changes: Any) -> str:
    return made({"alg": "HS256", "typ": "JWT"}, claims(**changes))


def signed(key: Any, algorithm: str, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers=headers)


def verifier(**options: Any) -> Verifier:
    """Knows the secret, and the clock stands still."""
    issuer = Issuer(Secret(SECRET), name=ISSUER, audience=AUDIENCE, **options)
    return Verifier(issuer, now=lambda: NOW)


def public(key: Any) -> Verifier:
    return Verifier(Issuer(Pem(pem(key)), name=ISSUER, audience=AUDIENCE), now=lambda: NOW)


HEADER = {"alg": "HS256", "typ": "JWT"}
