"""Reading certificates the way OpenSSL does, so that TCP and UDP take the same files.

aioquic's own reader wants a key of its kind (PKCS#8), after the certificates where both are in one
file; with anything else it starts, and then has no key when the first client comes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

__all__ = ["Key", "load_pair"]

Key = (
    ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | rsa.RSAPrivateKey
)
find_key = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL).search


def load_pair(
    certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str] | None = None
) -> tuple[list[x509.Certificate], Key]:
    """A certificate with those that vouch for it, and its key.

    Args:
        certfile: the certificates, PEM, the server's own first.
        keyfile: the key, PEM and not encrypted, if it is not in ``certfile``.

    Raises:
        OSError: a file cannot be read.
        ValueError: it does not hold what it should.
    """
    text = Path(certfile).read_bytes()
    try:
        chain = x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise ValueError(f"{certfile} holds no certificate: {error}") from error
    place = certfile if keyfile is None else keyfile
    found = find_key(text if keyfile is None else Path(keyfile).read_bytes())
    if found is None:
        raise ValueError(f"{place} holds no private key")
    try:
        key = load_pem_private_key(found[0], None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the private key in {place} cannot be read: {error}") from error
    if not isinstance(key, Key):
        raise ValueError(f"the private key in {place} is of a kind that TLS 1.3 has no use for")
    if key.public_key() != chain[0].public_key():
        raise ValueError(f"the private key in {place} is not that of the first certificate")
    return chain, key
