"""A certificate and its key, looked at before a server is: is it one, and whose?"""

from __future__ import annotations

import os
import ssl

from supersoniq.core.errors import InvalidSetting

__all__ = ["check_pair", "whose"]

Path = str | os.PathLike[str]


def check_pair(certfile: Path, keyfile: Path | None = None) -> None:
    """Refuse files that TLS could not begin with.

    Raises:
        OSError: one cannot be read.
        InvalidSetting: they hold no certificate, no key that is not encrypted, or not its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # With a password, be it a wrong one, OpenSSL does not ask for it on the terminal.
        context.load_cert_chain(certfile, keyfile, password="none")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            place, problem = keyfile or certfile, "is not the key of the first certificate"
        elif keyfile is None:
            place, problem = certfile, "holds no certificate and key in PEM; is there a keyfile?"
        else:
            place, problem = certfile, f"holds no certificate, or {os.fspath(keyfile)!r} no key"
        setting = "certfile" if place == certfile else "keyfile"
        raise InvalidSetting(setting, os.fspath(place), problem) from error


def whose(certfile: Path) -> str:
    """For whom a certificate is, who vouches for it, and until when; in a few words."""
    try:
        from cryptography import x509
    except ModuleNotFoundError:
        return os.fspath(certfile)
    with open(certfile, "rb") as file:
        certificate = x509.load_pem_x509_certificates(file.read())[0]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = [str(name.value) for name in names]
    except x509.ExtensionNotFound:
        known = [certificate.subject.rfc4514_string()]
    shown = ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")
    issuer = certificate.issuer.rfc4514_string()
    by = "self-signed" if certificate.issuer == certificate.subject else f"issued by {issuer}"
    return f"{shown}; {by}; until {certificate.not_valid_after_utc:%Y-%m-%d}"
