"""Who is calling: the token of a request, or of a WebSocket's handshake.

It is in ``Authorization: Bearer ...`` (RFC 6750, section 2.1). Browsers cannot set a header on a
WebSocket; there it is a second subprotocol, ``bearer.<token>``. Never in the query, which ends up
in logs.

Over HTTP/2 a request may be one that the server has promised to somebody, who was asked for a token
before: it carries none, and has a grant instead, which stays within the process.

Who fails too often is told to wait, by address, before the next token is looked at. Callers whose
token has held not long ago are served all the same: others may come from behind the same address.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from supersoniq.adapters.asgi import Scope
from supersoniq.auth.rates import Rate
from supersoniq.auth.tokens import Caller, Verifier
from supersoniq.core.errors import AuthenticationFailed, RateLimited

__all__ = ["UNSENT", "Identity"]

FAILURES = Rate(1.0, 20)
"""Failures of one address: twenty at once, then one a second."""
PREFIX = "bearer."
NO_TOKEN = "there is no token; send Authorization: Bearer <token>"
NO_BEARER = "Authorization must be a Bearer token"
UNSENT = frozenset({NO_TOKEN, NO_BEARER})
"""What is said where no token was sent at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """That a promised request is a certain caller's, as one app has established it."""

    giver: Identity
    caller: Caller


class Identity:
    """Establishes who is calling.

    Args:
        verifier: whose tokens are accepted; ``None``: nobody has to say who it is.
        failures: how often an address may fail.
    """

    def __init__(self, verifier: Verifier | None, failures: Rate = FAILURES) -> None:
        self.verifier = verifier
        self._failures = failures.buckets()

    def known(self, fields: Mapping[bytes, bytes]) -> Caller | None:
        """The caller of a request whose token has held not long ago, else ``None``: ask ``of``.

        What nearly every request needs, without the coroutines of a token that is to be verified.

        Args:
            fields: the request's header fields, of which none was there twice.
        """
        given = fields.get(b"authorization")
        if given is None or self.verifier is None or given[:7] != b"Bearer ":
            return None
        return self.verifier.known(given[7:].decode("latin-1"))

    async def of(self, scope: Scope) -> Caller | None:
        """The caller behind an ASGI scope; ``None`` where it does not matter.

        Raises:
            AuthenticationFailed: there is no token, or it does not hold.
            RateLimited: that happened too often.
            KeysUnavailable: nobody can say, which is not the caller's fault, and not counted.
        """
        if self.verifier is None:
            return None
        extensions = scope.get("extensions")
        pushed = extensions.get("http.response.pushed") if extensions else None
        grant = pushed.get("grant") if pushed else None
        if isinstance(grant, Grant) and grant.giver is self:
            if self.verifier.now() >= grant.caller.expires:
                raise AuthenticationFailed("the token has expired")
            return grant.caller
        return await self.check(_token(scope), scope)

    def grant(self, caller: Caller | None) -> Grant | None:
        """What makes a request that this app promises itself the caller's.

        It gives what the caller's own token gives, no longer than that, and nothing in another app.
        """
        return None if caller is None else Grant(self, caller)

    async def check(self, token: str, scope: Scope) -> Caller:
        """The caller whose token that is.

        Raises:
            AuthenticationFailed, RateLimited, KeysUnavailable: see ``of``.
        """
        assert self.verifier is not None
        client = scope.get("client")
        address = str(client[0]) if client else ""
        wait = self._failures.wait(address)
        if wait and self.verifier.known(token) is None:
            raise RateLimited(math.ceil(wait * 1000) / 1000)
        try:
            return await self.verifier.verify(token)
        except AuthenticationFailed:
            self._failures.take(address)
            raise


def _token(scope: Scope) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    given = [value for name, value in headers if name == b"authorization"]
    offers = scope.get("subprotocols")
    offered = [name for name in offers if name.startswith(PREFIX)] if offers else []
    if len(given) + len(offered) > 1:
        raise AuthenticationFailed("there is more than one token")
    if offered:
        return str(offered[0].removeprefix(PREFIX))
    if not given:
        raise AuthenticationFailed(NO_TOKEN)
    kind, _, token = given[0].decode("latin-1").partition(" ")
    if kind.lower() != "bearer":
        raise AuthenticationFailed(NO_BEARER)
    return token.strip(" ")
