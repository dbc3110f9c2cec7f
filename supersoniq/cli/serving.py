"""A server from its settings: for ``supersoniq serve``, and up to its beginning for ``config``.

So both refuse the same, and every refusal names the setting, its value, and where that is from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supersoniq.cli.common import Failed, connected
from supersoniq.cli.configured import CANNOT_START
from supersoniq.core.errors import (
    ConfigurationError,
    InvalidSetting,
    MissingExtra,
    SupersoniqError,
    UnknownBackend,
    UnknownServer,
)

if TYPE_CHECKING:
    from supersoniq.adapters.http.serve import Serving
    from supersoniq.api.broker import Broker
    from supersoniq.auth import Verifier
    from supersoniq.cli.settings.load import Found
    from supersoniq.cli.settings.model import Auth, Settings

__all__ = ["run"]


def run(
    found: Found, *, on_started: Callable[[Serving], None] | None = None, dry: bool = False
) -> None:
    """Serve until told to stop.

    Args:
        found: the settings.
        on_started: called once requests are taken.
        dry: only refuse what cannot be.

    Raises:
        Failed: with the status 2 if it cannot start with these settings, 1 if it fails.
    """
    try:
        from supersoniq.adapters.http.serve import serve
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        raise Failed.of(MissingExtra("serving", "supersoniq[server]", missing)) from None
    try:
        serve(
            _store(found),
            auth=_verifier(found.settings.auth),
            on_started=on_started,
            dry=dry,
            **_arguments(found.settings),
        )
    except ConfigurationError as error:
        if isinstance(error, UnknownServer):
            error = InvalidSetting("server", error.server, f"is not among {error.known}")
        if isinstance(error, InvalidSetting):
            error = found.placed(error)
        raise Failed(Failed.of(error).message, CANNOT_START) from None
    except (SupersoniqError, OSError) as error:
        raise Failed.of(error) from None


def _store(found: Found) -> Broker:
    url = found.settings.backend
    try:
        return connected(url)
    except UnknownBackend as error:
        problem = f"{error.scheme} is not among {error.known}"
    except InvalidSetting as error:
        problem = error.problem if error.setting == "url" else str(error)
    raise InvalidSetting("backend", url, problem)


def _arguments(settings: Settings) -> dict[str, Any]:
    """What is given to the server as it stands: a setting is called there as it is here."""
    arguments: dict[str, Any] = {
        "no_auth": settings.auth.required is False,
        "metrics": settings.metrics.enabled,
        "metrics_queues": settings.metrics.queues,
    }
    for section in (settings.listen, settings.tls, settings.limits):
        arguments |= dict(section)
    return arguments


def _verifier(auth: Auth) -> Verifier | None:
    """Whose tokens are accepted; ``None``: there is no key to check one with."""
    from supersoniq.auth import Issuer, Jwks, Keys, Pem, Secret, Verifier

    keys: Keys
    if auth.public_key is not None:
        keys = Pem(auth.public_key)
    elif auth.jwks is not None:
        keys = Jwks(auth.jwks)
    elif auth.secret is not None:
        keys = Secret(auth.secret.get_secret_value().strip())
    else:
        return None
    return Verifier(Issuer(keys, name=auth.issuer, audience=auth.audience))
