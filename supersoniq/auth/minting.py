"""Making keys and tokens: for those who have no issuer yet, and for tests.

What is made here passes ``tokens.Verifier``: Ed25519 for a pair of keys, HS256 for a secret.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from supersoniq.auth.keys import SHORTEST_RSA, Secret
from supersoniq.auth.scopes import parsed
from supersoniq.core.errors import InvalidArgument, InvalidSetting

__all__ = ["SigningKey", "new_pair", "new_secret"]


def new_secret() -> str:
    """A secret for HS256: 256 bits of randomness, in 43 characters."""
    return secrets.token_urlsafe(32)


def new_pair() -> tuple[str, str]:
    """An Ed25519 key pair in PEM: the private key, then the public one."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


class SigningKey:
    """What tokens are signed with: a private key in PEM (Ed25519, P-256, RSA), or a secret.

    Args:
        text: of the PEM file, or the secret. White space around it does not count.

    Raises:
        InvalidSetting: it is a public key, too short, or of another type.
    """

    def __init__(self, text: str) -> None:
        text = text.strip()
        if "-----BEGIN" not in text:
            Secret(text)
            self.algorithm, self._material = "HS256", text
            return
        if "PRIVATE KEY-----" not in text:
            raise InvalidSetting("key", "(hidden)", "is a public key; tokens take the private one")
        try:
            key = load_pem_private_key(text.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidSetting("key", "(hidden)", f"cannot be read: {error}") from None
        if isinstance(key, ed25519.Ed25519PrivateKey):
            self.algorithm = "EdDSA"
        elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            self.algorithm = "ES256"
        elif isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SHORTEST_RSA:
            self.algorithm = "RS256"
        else:
            kinds = f"Ed25519, P-256, and RSA of {SHORTEST_RSA} bits or more"
            raise InvalidSetting("key", "(hidden)", f"is of another type; takes {kinds}")
        self._material = text

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """The one in a file.

        Raises:
            InvalidSetting: it cannot be read, or is no such key.
        """
        try:
            return cls(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSetting("key", str(path), f"cannot be read: {error}") from None

    def sign(
        self,
        subject: str,
        scope: str,
        *,
        lifetime: float,
        issuer: str | None = None,
        audience: str | None = None,
        kid: str | None = None,
    ) -> str:
        """A token.

        Args:
            subject: who it is for, 1 to 256 characters.
            scope: words such as ``publish:orders consume:mail.*``.
            lifetime: seconds, more than 0.
            issuer: who makes it, if the server asks for that.
            audience: which server it is for, if that asks for it.
            kid: the key's name in a JWKS.

        Raises:
            InvalidArgument: one of them cannot be.
        """
        if not 0 < len(subject) <= 256 or not subject.isprintable():
            raise InvalidArgument("subject", subject, "takes 1 to 256 printable characters")
        for word in scope.split():
            if parsed(word) is None:
                rule = "takes words as publish:orders or consume:mail.*; the verbs are publish, "
                rule += "consume, browse, watch, manage, metrics"
                raise InvalidArgument("scope", word, rule)
        if not 0 < lifetime < 1e10:
            raise InvalidArgument("lifetime", lifetime, "takes seconds, more than 0")
        now = int(time.time())
        claims = {
            "sub": subject,
            "iat": now,
            "exp": now + max(1, int(lifetime)),
            "scope": " ".join(scope.split()),
            "iss": issuer,
            "aud": audience,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"typ": "at+jwt"} | ({} if kid is None else {"kid": kid})
        return jwt.encode(claims, self._material, self.algorithm, headers=headers)
