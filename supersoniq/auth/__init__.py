"""Who may do what: tokens, scopes, and the one place where they are held against operations.

``tokens`` establishes who is calling, with the keys that ``keys`` finds; ``scopes`` says what a
token allows; ``rights`` holds that against an operation. Nothing here knows of HTTP: every door
brings a token and gets a ``Caller``, and every door's work is operations (``supersoniq.core.ops``).
"""

from __future__ import annotations

from supersoniq.auth.holds import Holds
from supersoniq.auth.keys import Jwks, Keys, Pem, Secret
from supersoniq.auth.quota import Quota
from supersoniq.auth.rates import Rate
from supersoniq.auth.rights import permitted, verb_of
from supersoniq.auth.scopes import Grant, Scopes, Verb
from supersoniq.auth.tokens import Caller, Issuer, Verifier

__all__ = [
    "Caller",
    "Grant",
    "Holds",
    "Issuer",
    "Jwks",
    "Keys",
    "Pem",
    "Quota",
    "Rate",
    "Scopes",
    "Secret",
    "Verb",
    "Verifier",
    "permitted",
    "verb_of",
]
