"""Where a server is: from a URL to an address, a ``Host`` field and the path of the app."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from supersoniq.core.errors import InvalidSetting

__all__ = ["Address", "Place", "place", "seconds"]

_PATH = re.compile(r"[!-~]*")


class Address(NamedTuple):
    """What is connected to."""

    host: str
    port: int
    trust: ssl.SSLContext | None


class Place(NamedTuple):
    """What a URL says."""

    address: Address
    host: str
    """For the ``Host`` field."""
    prefix: str
    """The path of the app, without a slash at its end."""

    @property
    def loopback(self) -> bool:
        """Whether what is sent there does not leave this machine."""
        host = self.address.host
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def place(
    url: str,
    schemes: Mapping[str, bool],
    ca: str | os.PathLike[str] | None,
    protocols: list[str],
) -> Place:
    """Where a URL leads to.

    Args:
        url: as the user gave it.
        schemes: those that will do, and whether they mean TLS.
        ca: a file of certificates to trust, instead of the system's.
        protocols: to offer in the TLS handshake (ALPN).

    Raises:
        InvalidSetting: the URL or the file cannot be.
    """
    shown = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port = parts.port
        name = parts.hostname or ""
        host = name if ":" in name else name.encode("idna").decode()
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidSetting("url", url, f"is no URL: {error}") from None
    if parts.scheme not in schemes or not host:
        raise InvalidSetting("url", url, f"takes {shown}host:port/prefix")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidSetting("url", url, "takes no user, query or fragment; options are keywords")
    if not _PATH.fullmatch(parts.path):
        raise InvalidSetting("url", url, "has a path that must be percent-encoded")
    secure = schemes[parts.scheme]
    told = f"[{host}]" if ":" in host else host
    if port is not None:
        told += f":{port}"
    trust = _trust(secure, ca, protocols)
    return Place(
        Address(host, port or (443 if secure else 80), trust), told, parts.path.rstrip("/")
    )


def seconds(name: str, value: object) -> float:
    """A length of time that a user gave.

    Raises:
        InvalidSetting: it is none, or none that makes sense.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise InvalidSetting(name, value, "takes seconds, more than 0 and at most a day")
    return float(value)


def _trust(
    secure: bool, ca: str | os.PathLike[str] | None, protocols: list[str]
) -> ssl.SSLContext | None:
    if not secure:
        if ca is not None:
            raise InvalidSetting("ca", ca, "means nothing without TLS")
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, TypeError) as error:
        raise InvalidSetting("ca", ca, f"cannot be read: {error}") from None
    context.set_alpn_protocols(protocols)
    return context
