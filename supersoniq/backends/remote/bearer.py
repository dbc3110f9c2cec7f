"""The token with which a client calls, and when it is time for another.

It is given as it is, or as a function that gives one. The function is asked when the first call is
made, again before the token expires (four fifths of what it still held, or half a minute before its
end, whichever is later), and when the server does not take it. When that is due is counted from
when the token came, so that a clock that is wrong by minutes does no more harm than that the server
has to say so.

It leaves this module as a ``Token``, which shows in no repr, log or error, and goes nowhere but
into ``Authorization`` and into the frame that renews a WebSocket.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable

import msgspec

from supersoniq.backends.remote.address import Place
from supersoniq.core.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    InvalidSetting,
    SupersoniqError,
)

__all__ = ["Bearer", "Token", "TokenSource"]

log = logging.getLogger("supersoniq")

TokenSource = str | Callable[[], str | Awaitable[str]]
EARLY = 30.0
"""Seconds before its end at which a token is replaced, at the most."""
SHORTEST = 1.0
"""Seconds between two questions, unless the server refuses the token."""
_SHAPE = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
"""RFC 6750, section 2.1."""


class Token:
    """A token.

    Args:
        value: what is sent.
        due: when to ask for another, on the event loop's clock; ``None``: when it is refused.
    """

    __slots__ = ("due", "value")

    def __init__(self, value: str, due: float | None) -> None:
        self.value = value
        self.due = due


class Bearer:
    """Where a client's token comes from.

    Args:
        source: the token; or a function that gives one, async or not, which may block: one that is
            not async is called in a thread. ``None``: there is none.
        there: where it will be sent.
        clear_text: whether it may be sent without TLS to another machine.
        now: seconds since the epoch.

    Raises:
        InvalidSetting: it is neither, or whoever is on the way could read it.
    """

    def __init__(
        self,
        source: TokenSource | None,
        there: Place,
        *,
        clear_text: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(clear_text, bool):
            raise InvalidSetting("clear_text", clear_text, "takes true or false")
        if source is not None and not callable(source) and not _good(source):
            rule = "takes a token, as in Authorization: Bearer <token>, or a function that gives it"
            raise InvalidSetting("token", "(hidden)", rule)
        if source is not None and not (there.address.trust or there.loopback or clear_text):
            rule = (
                f"whoever is on the way to {there.address.host} could read it: take https:// or "
                "wss://; or, where nobody else is on the way, say clear_text=True"
            )
            raise InvalidSetting("token", "(hidden)", rule)
        self._ask = source if callable(source) else None
        self._token = Token(source, None) if isinstance(source, str) else None
        self._now = now
        self._asking: asyncio.Task[Token] | None = None

    async def token(self) -> Token | None:
        """The one to call with; ``None``: there is none.

        Raises:
            AuthenticationFailed: the function gave none.
            BackendUnavailable: it failed.
            SupersoniqError: whatever of ours it raised.
        """
        if self._ask is None:
            return self._token
        held = self._token
        if held is not None and (held.due is None or asyncio.get_running_loop().time() < held.due):
            return held
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._asked(self._ask))
            self._asking.add_done_callback(self._answered)
        return await asyncio.shield(self._asking)

    def refused(self, token: Token | None) -> bool:
        """The server does not take that one. Gives whether there can be another."""
        if self._ask is None:
            return False
        if self._token is token:
            self._token = None
        return True

    async def _asked(self, ask: Callable[[], str | Awaitable[str]]) -> Token:
        try:
            if inspect.iscoroutinefunction(ask):
                value = await ask()
            else:
                value = await asyncio.to_thread(ask)
                if inspect.isawaitable(value):
                    value = await value
            if not _good(value):
                raise AuthenticationFailed("the function for the token gave none")
        except Exception as error:
            held = self._token
            if held is not None and not isinstance(error, AuthenticationFailed):
                # It may hold a little longer; if not, the server says so.
                log.warning("no new token can be had: %s", type(error).__name__)
                held.due = asyncio.get_running_loop().time() + SHORTEST
                return held
            if isinstance(error, SupersoniqError):
                raise
            problem = f"no token can be had: {type(error).__name__}"
            raise BackendUnavailable(problem) from error
        self._token = Token(value, self._due(value))
        return self._token

    def _answered(self, task: asyncio.Task[Token]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # whoever asked for it may have gone

    def _due(self, value: str) -> float | None:
        left = (_expiry(value) or 0.0) - self._now()
        if left <= 0:
            return None  # it does not say when it ends, or a clock is wrong
        return asyncio.get_running_loop().time() + max(left - EARLY, 0.8 * left, SHORTEST)


class Claims(msgspec.Struct):
    """What a token says of itself, as far as it matters here."""

    exp: float


def _expiry(value: str) -> float | None:
    """When a token ends, if it is a JSON Web Token (RFC 7519), which nobody here verifies."""
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(raw, type=Claims).exp
    except (ValueError, msgspec.MsgspecError):
        return None


def _good(value: object) -> bool:
    return isinstance(value, str) and _SHAPE.fullmatch(value) is not None
