"""The keys that tokens are verified with, and where they come from.

**The key says the algorithm, never the token** (RFC 8725, section 3.1): a secret makes HS256, a PEM
file or a key of a JWKS whatever its type makes, and a token that claims another algorithm than its
key's is refused before anything is computed. So a public key is never taken for a secret, and there
is no ``none``. Keys that are too short are refused where they are set, not where they are used.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from supersoniq.core.errors import AuthenticationFailed, InvalidSetting, KeysUnavailable

__all__ = ["ASYMMETRIC", "Jwks", "Key", "Keys", "Pem", "Secret"]

log = logging.getLogger("supersoniq.auth")

ASYMMETRIC = ("RS256", "ES256", "EdDSA")
SHORTEST_SECRET = 32
"""Bytes (RFC 7518, section 3.2)."""
SHORTEST_RSA = 2048
"""Bits (RFC 7518, section 3.3)."""
MOST_KEYS = 100

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the only algorithm that it is good for."""

    algorithm: str
    material: bytes | PublicKey
    kid: str | None = None


class Keys(ABC):
    """Where an issuer's keys are found."""

    @abstractmethod
    async def find(self, kid: str | None) -> Sequence[Key]:
        """The keys that a token may have been signed with.

        Args:
            kid: the key that the token names.

        Raises:
            AuthenticationFailed: there is none of that name.
            KeysUnavailable: nobody can say.
        """


class Secret(Keys):
    """A secret that the issuer shares: HS256.

    Args:
        secret: 32 bytes or more, of randomness; text stands for its UTF-8 form.

    Raises:
        InvalidSetting: it is too short, or is a public key by mistake.
    """

    def __init__(self, secret: str | bytes) -> None:
        raw = secret.encode() if isinstance(secret, str) else secret
        if not isinstance(raw, bytes):
            raise InvalidSetting("secret", "(hidden)", "takes text or bytes")
        if b"-----BEGIN" in raw:
            raise InvalidSetting("secret", "(hidden)", "is a PEM file; set it as public_key")
        if len(raw) < SHORTEST_SECRET:
            rule = f"has {len(raw)} bytes; HS256 takes {SHORTEST_SECRET} or more"
            raise InvalidSetting("secret", "(hidden)", rule)
        self._keys = (Key("HS256", raw),)

    async def find(self, kid: str | None) -> Sequence[Key]:
        """The one that there is, whatever the token calls it."""
        return self._keys


class Pem(Keys):
    """A public key in a PEM file, or its text: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).

    Args:
        source: the file's path, or the text itself.

    Raises:
        InvalidSetting: it cannot be read, is private, too short, or of another type.
    """

    def __init__(self, source: str | Path) -> None:
        text = str(source)
        shown = text
        if "-----BEGIN" in text:
            shown = "(the text of a PEM file)"
        else:
            try:
                text = Path(source).read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidSetting("public_key", shown, f"cannot be read: {error}") from None
        if "PRIVATE KEY-----" in text:
            rule = "is a private key, which only the issuer needs; give the server the public one"
            raise InvalidSetting("public_key", shown, rule)
        try:
            material = load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidSetting("public_key", shown, f"is no public key: {error}") from None
        key = _usable(material, None)
        if isinstance(key, str):
            raise InvalidSetting("public_key", shown, key)
        self._keys = (key,)

    async def find(self, kid: str | None) -> Sequence[Key]:
        """The one that there is, whatever the token calls it."""
        return self._keys


class Jwks(Keys):
    """Keys that the issuer publishes at an address (RFC 7517, section 5).

    They are fetched in a thread, kept, and fetched anew when they are old, or when a token names
    one that is not among them: keys rotate without a restart. An address that does not answer
    changes nothing as long as keys were fetched once: those are used on. Callers never wait for a
    refresh of old keys, only for the first fetch and for an unknown name.

    Args:
        url: ``https://``; ``http://`` only on this machine itself.
        lifetime: seconds after which keys are fetched anew; 300.
        cooldown: seconds between two fetches at the least, so that tokens with invented names make
            no traffic; 10.
        timeout: seconds that a fetch may take; 5.
        ca: a file of certificates to trust, instead of the system's.
        monotonic: seconds that only grow, for tests.

    Raises:
        InvalidSetting: one of them cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        lifetime: float = 300.0,
        cooldown: float = 10.0,
        timeout: float = 5.0,
        ca: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise InvalidSetting("jwks", url, "takes https:// (http:// only on loopback)")
        for name, value in (("lifetime", lifetime), ("cooldown", cooldown), ("timeout", timeout)):
            if isinstance(value, bool) or not 0 < value <= 86_400:
                raise InvalidSetting(f"jwks {name}", value, "takes seconds, more than 0")
        try:
            context = ssl.create_default_context(cafile=ca)
        except (OSError, TypeError) as error:
            raise InvalidSetting("jwks ca", ca, f"cannot be read: {error}") from None
        self.url = url
        self._client = jwt.PyJWKClient(
            url, cache_jwk_set=False, timeout=timeout, ssl_context=context
        )
        self._lifetime, self._cooldown, self._time = lifetime, cooldown, monotonic
        self._keys: list[Key] = []
        self._fetched: float | None = None
        """When that last succeeded."""
        self._tried: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> Sequence[Key]:
        """The key of that name; all of them for a token that names none."""
        if self._fetched is None:
            await self._refresh()
        elif self._time() > self._fetched + self._lifetime:
            self._start()
        found = self._named(kid)
        if not found and self._fetched is not None:
            await self._refresh()
            found = self._named(kid)
        if found:
            return found
        if self._fetched is None:
            raise KeysUnavailable("the issuer's keys could not be fetched so far")
        raise AuthenticationFailed("the token's key is not among the issuer's")

    def _named(self, kid: str | None) -> list[Key]:
        return [key for key in self._keys if kid is None or key.kid == kid]

    async def _refresh(self) -> None:
        """Wait until keys were fetched, by whomever, unless that was tried just now."""
        self._start()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _start(self) -> None:
        if self._fetching is not None and not self._fetching.done():
            return
        self._fetching = None
        if self._tried is not None and self._time() < self._tried + self._cooldown:
            return
        self._tried = self._time()
        self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            data = await asyncio.to_thread(self._client.fetch_data)
            keys = _read(data)
        except (jwt.PyJWTError, OSError, ValueError) as error:
            log.warning("the keys at %s cannot be fetched: %s", self.url, error)
            return
        if not keys:
            log.warning("there is no key at %s that is of use here", self.url)
            return
        self._keys, self._fetched = keys, self._time()


def _read(data: Any) -> list[Key]:
    """The usable keys of a set: public ones for signatures. Others are passed over."""
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ValueError("that is no JSON Web Key Set")
    keys: list[Key] = []
    for entry in entries[:MOST_KEYS]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
            continue
        if entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue  # an "oct" key would be a published secret
        kid = entry.get("kid")
        try:
            material = jwt.PyJWK.from_dict(entry).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        key = _usable(material, kid if isinstance(kid, str) else None)
        if isinstance(key, Key) and entry.get("alg", key.algorithm) == key.algorithm:
            keys.append(key)
    return keys


def _usable(material: object, kid: str | None) -> Key | str:
    """A public key with its algorithm, or what is wrong with it."""
    if isinstance(material, rsa.RSAPublicKey):
        if material.key_size < SHORTEST_RSA:
            return f"has {material.key_size} bits; RS256 takes {SHORTEST_RSA} or more"
        return Key("RS256", material, kid)
    if isinstance(material, ec.EllipticCurvePublicKey):
        if not isinstance(material.curve, ec.SECP256R1):
            return f"is on the curve {material.curve.name}; ES256 takes P-256"
        return Key("ES256", material, kid)
    if isinstance(material, ed25519.Ed25519PublicKey):
        return Key("EdDSA", material, kid)
    return f"is a {type(material).__name__}; takes RSA, P-256 and Ed25519"
