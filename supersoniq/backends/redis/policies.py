"""A queue's policy as stored: as JSON for whoever asks for it, and its terms for scripts."""

from __future__ import annotations

import msgspec

from supersoniq.core.policy import Policy, Terms

__all__ = ["policy_data", "terms_data"]


def policy_data(policy: Policy) -> bytes:
    """A policy as stored."""
    return msgspec.json.encode(policy)


def terms_data(policy: Policy) -> bytes:
    """A policy's terms as scripts read them: ``terms`` in base.lua has the order."""
    t = Terms.of(policy)
    backoff = t.backoff
    return msgspec.msgpack.encode(
        (
            t.lease, t.max_deliveries, t.dedup_window, t.keep_done, t.keep_dead, t.max_length,
            t.max_content, t.expiry_kills, backoff.initial, backoff.factor, backoff.maximum,
            backoff.jitter,
        )
    )  # fmt: skip
