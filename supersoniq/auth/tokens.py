"""Who is calling: a JSON Web Token (RFC 7519) becomes a ``Caller``, or nobody.

PyJWT verifies the signature. Everything around it is stricter than what it does by itself, after
RFC 8725 and RFC 9068:

- three parts of canonical base64url, at most 8 KiB, and nothing before, between or behind;
- a header without ``crit``, without a key or an address of one (``jwk``, ``jku``, ``x5u``,
  ``x5c``), of type ``JWT`` or ``at+jwt`` if it says one;
- in header and claims no name stands twice, and nothing is nested over 32 levels deep;
- the algorithm is that of the issuer's key, and on the issuer's list;
- ``exp`` is there, is a number of seconds, lies ahead, and by at most ``max_lifetime``; ``nbf`` and
  ``iat`` are not in the future; ``aud`` and ``iss`` are as configured; ``sub`` names somebody.

Every defect is one error with one code. What it says is for whoever made the token, and never holds
any of it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from supersoniq.auth.keys import ASYMMETRIC, Keys, Secret
from supersoniq.auth.scopes import Scopes
from supersoniq.core.errors import AuthenticationFailed, InvalidSetting

__all__ = ["Caller", "Issuer", "Verifier"]

LONGEST = 8192
"""Bytes of a token."""
DEEPEST = 32
"""Levels of a token's header or claims: how many Python reads depends on its version."""
LONGEST_SUBJECT = 256
"""Characters: what a message's ``sender`` may have."""
BELIEVED = 60.0
"""Seconds; a key that an issuer takes back is of no use after that."""
MOST_KNOWN = 10_000
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
FORBIDDEN = ("crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "enc")
"""Headers that bring their own keys or rules."""
ALGORITHMS = ("HS256", *ASYMMETRIC)

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_jws = jwt.PyJWS()


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose token holds."""

    subject: str
    scopes: Scopes
    expires: float
    """Seconds since the epoch, from when on the token holds no longer."""


class Issuer:
    """Somebody whose tokens are accepted.

    Args:
        keys: where its keys are found.
        name: what ``iss`` must be; ``None``: it is not looked at.
        audience: what ``aud`` must be, or contain; ``None``: it is not looked at.
        algorithms: those that are accepted, of HS256, RS256, ES256, EdDSA; by default what its kind
            of keys can do.
        leeway: seconds that its clock may be ahead of ours, for ``nbf`` and ``iat``; 30. There is
            none for ``exp``: that is when connections end, and nothing is delivered after it.
        max_lifetime: seconds that a token may still have; 90 days.

    Raises:
        InvalidSetting: one of them cannot be.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        name: str | None = None,
        audience: str | None = None,
        algorithms: Sequence[str] | None = None,
        leeway: float = 30.0,
        max_lifetime: float = 90 * 86_400.0,
    ) -> None:
        possible = ("HS256",) if isinstance(keys, Secret) else ASYMMETRIC
        chosen = possible if algorithms is None else tuple(algorithms)
        if isinstance(algorithms, str) or not chosen or not set(chosen) <= set(possible):
            rule = f"takes a list of {', '.join(possible)}: that is what the keys can do"
            raise InvalidSetting("algorithms", algorithms, rule)
        for label, text in (("issuer", name), ("audience", audience)):
            if text is not None and (not isinstance(text, str) or not text):
                raise InvalidSetting(label, text, "takes a text that is not empty")
        for label, number, most in (
            ("leeway", leeway, 300.0),
            ("max_lifetime", max_lifetime, 10 * 366 * 86_400.0),
        ):
            if isinstance(number, bool) or not 0 <= number <= most:
                raise InvalidSetting(label, number, f"takes seconds from 0 to {most:g}")
        self.keys, self.name, self.audience = keys, name, audience
        self.algorithms = frozenset(chosen)
        self.leeway, self.max_lifetime = leeway, max_lifetime


class Verifier:
    """Establishes who is calling.

    Args:
        issuers: those whose tokens are accepted. Of several, each has a name.
        now: seconds since the epoch.

    Raises:
        InvalidSetting: there is none, or it could not be told whose a token is.
    """

    def __init__(self, *issuers: Issuer, now: Callable[[], float] = time.time) -> None:
        if not issuers:
            raise InvalidSetting("issuers", "()", "takes at least one")
        names = [issuer.name for issuer in issuers]
        if len(issuers) > 1 and (None in names or len(set(names)) < len(names)):
            raise InvalidSetting("issuers", names, "must each have a name of its own")
        self._issuers = issuers
        self.now = now
        self._known: dict[str, tuple[Caller, float]] = {}
        """Callers whose token held not long ago, and until when that is believed."""

    async def verify(self, token: str) -> Caller:
        """The caller whose token that is.

        A token that held is believed for a minute, or until it expires, without a look at keys.

        Raises:
            AuthenticationFailed: it does not hold.
            KeysUnavailable: nobody can say.
        """
        known = self.known(token)
        if known is not None:
            return known
        caller = await self._verify(token)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[token] = (caller, min(caller.expires, self.now() + BELIEVED))
        return caller

    def known(self, token: str) -> Caller | None:
        """The caller of a token that has held not long ago, and is believed to."""
        known = self._known.get(token)
        return known[0] if known is not None and self.now() < known[1] else None

    async def _verify(self, token: str) -> Caller:
        header, claims = _read(token)
        issuer = self._issuer(claims)
        kid = header.get("kid")
        if kid is not None and (not isinstance(kid, str) or len(kid) > 256):
            raise AuthenticationFailed("the token's kid is no name of a key")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
            raise AuthenticationFailed("the token's algorithm is not accepted")
        keys = [key for key in await issuer.keys.find(kid) if key.algorithm == algorithm]
        for key in keys:
            try:
                _jws.decode_complete(token, key.material, algorithms=[key.algorithm])
            except jwt.PyJWTError:
                continue
            return self._caller(claims, issuer)
        raise AuthenticationFailed("the token's signature does not hold")

    def _issuer(self, claims: dict[str, Any]) -> Issuer:
        """Whose token it claims to be, which its signature will have to show."""
        for issuer in self._issuers:
            if issuer.name is None or issuer.name == claims.get("iss"):
                return issuer
        raise AuthenticationFailed("the token is of no issuer that is accepted here")

    def _caller(self, claims: dict[str, Any], issuer: Issuer) -> Caller:
        now = self.now()
        expires = _instant(claims, "exp")
        if expires is None:
            raise AuthenticationFailed("the token has no exp, and would hold for ever")
        if expires > now + issuer.max_lifetime + issuer.leeway:
            raise AuthenticationFailed(f"the token holds longer than {issuer.max_lifetime:g} s")
        if expires <= now:
            raise AuthenticationFailed("the token has expired")
        for name in ("nbf", "iat"):
            instant = _instant(claims, name)
            if instant is not None and instant > now + issuer.leeway:
                raise AuthenticationFailed(f"the token's {name} lies in the future")
        if issuer.audience is not None and issuer.audience not in _audience(claims):
            raise AuthenticationFailed("the token is not for this audience")
        subject = claims.get("sub")
        if (
            not isinstance(subject, str)
            or not 0 < len(subject) <= LONGEST_SUBJECT
            or not subject.isprintable()
        ):
            raise AuthenticationFailed(
                f"the token's sub must name somebody, in 1 to {LONGEST_SUBJECT} characters"
            )
        scope = claims.get("scope", "")
        if not isinstance(scope, str):
            raise AuthenticationFailed("the token's scope must be words between spaces")
        return Caller(subject, Scopes.parse(scope), expires)


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A token's header and claims, of which nothing is shown yet."""
    if not isinstance(token, str) or not token:
        raise AuthenticationFailed("there is no token")
    if len(token) > LONGEST:
        raise AuthenticationFailed(f"the token is longer than {LONGEST} bytes")
    if not _SHAPE.fullmatch(token):
        raise AuthenticationFailed("that is no token: takes three parts of base64url and two dots")
    first, second, third = token.split(".")
    _decoded(third)
    header = _object(_decoded(first), "header")
    for name in FORBIDDEN:
        if name in header:
            raise AuthenticationFailed(f"a token with {name} in its header is not accepted")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise AuthenticationFailed("the token's typ is neither JWT nor at+jwt")
    return header, _object(_decoded(second), "claims")


def _decoded(part: str) -> bytes:
    """A part's bytes. Each text has one form only: a token cannot be written in two ways."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise AuthenticationFailed("a part of the token is no base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise AuthenticationFailed("a part of the token is no canonical base64url")
    return raw


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise AuthenticationFailed(f"the token's {what} cannot be read") from None
    if not isinstance(data, dict):
        raise AuthenticationFailed(f"the token's {what} must be an object")
    if _depth(data) > DEEPEST:
        raise AuthenticationFailed(f"the token's {what} is nested over {DEEPEST} levels deep")
    return data


def _depth(data: dict[str, Any]) -> int:
    """Levels of arrays and objects, itself among them."""
    depth = 0
    level: list[dict[str, Any] | list[Any]] = [data]
    while level:
        depth += 1
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for each in inner for value in each if isinstance(value, dict | list)]
    return depth


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a name stands twice")
    return data


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _instant(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2)."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AuthenticationFailed(f"the token's {name} must be a number of seconds")
    if isinstance(value, int) and abs(value) > 1 << 53:
        raise AuthenticationFailed(f"the token's {name} lies beyond all time")
    if not math.isfinite(value) or value < 0:
        raise AuthenticationFailed(f"the token's {name} lies beyond all time")
    return float(value)


def _audience(claims: dict[str, Any]) -> list[str]:
    value = claims.get("aud", [])
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    raise AuthenticationFailed("the token's aud must be a text or a list of them")
