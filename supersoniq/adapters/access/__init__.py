"""Who may come in by any door, and what is then behind it.

``identity`` takes the token out of a request or a handshake and has it verified; ``origins`` looks
at which web page calls; ``guarded`` is the engine as one caller has it, with every operation held
against the caller's scope. A handler never sees another engine, so no route or frame can forget to
ask.
"""

from __future__ import annotations

from supersoniq.adapters.access.guarded import Guarded, uncounted
from supersoniq.adapters.access.identity import UNSENT, Identity
from supersoniq.adapters.access.origins import Origins

__all__ = ["UNSENT", "Guarded", "Identity", "Origins", "uncounted"]
