"""A certificate for trying things out on one's own machine.

Nobody vouches for it. Clients have to be told to take it: ``curl -k``, or ``verify=`` with its
file. A page in a browser can name its hash (``serverCertificateHashes`` of WebTransport), for which
browsers ask that it is ECDSA and valid for two weeks at most; so that is what it is.

Its issuer is an authority that is made with it and stands behind it in the same file: some clients
(qh3) trust authorities alone, and no certificate that has signed itself. The authority's key is
forgotten at once, so that whoever trusts it trusts this one certificate.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["DevCertificate", "dev_certificate"]

LIFE = datetime.timedelta(days=14)
LAST = datetime.timedelta(days=1)
"""One that ends sooner is replaced."""


@dataclass(frozen=True)
class DevCertificate:
    """A certificate for this machine.

    Attributes:
        certfile: the certificate and its authority, PEM.
        keyfile: its private key, PEM, which only its owner may read.
        sha256: of the certificate, as ``serverCertificateHashes`` wants it.
        expires: when it ends.
        made: whether it was made now, and not before.
    """

    certfile: Path
    keyfile: Path
    sha256: bytes
    expires: datetime.datetime
    made: bool

    def __str__(self) -> str:
        what = "made" if self.made else "took"
        return (
            f"{what} a certificate for localhost, 127.0.0.1 and ::1, which nobody trusts: "
            f"{self.certfile}, valid until {self.expires:%Y-%m-%d %H:%M} UTC, "
            f"SHA-256 {self.sha256.hex()}; its key is {self.keyfile}"
        )


def dev_certificate(directory: str | Path | None = None) -> DevCertificate:
    """A certificate for localhost: one that is there, or a new one.

    Args:
        directory: where it is kept; ``supersoniq`` in the user's cache directory.

    Raises:
        OSError: the files cannot be written.
    """
    place = Path(directory) if directory is not None else _cache()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    certfile, keyfile = place / "dev-cert.pem", place / "dev-key.pem"
    now = datetime.datetime.now(datetime.UTC)
    found = _read(certfile, keyfile)
    made = found is None or not found.not_valid_before_utc <= now < found.not_valid_after_utc - LAST
    if found is None or made:
        found = _make(certfile, keyfile, now)
    der = found.public_bytes(serialization.Encoding.DER)
    expires = found.not_valid_after_utc
    return DevCertificate(certfile, keyfile, hashlib.sha256(der).digest(), expires, made)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "supersoniq"


def _read(certfile: Path, keyfile: Path) -> x509.Certificate | None:
    """What is there, if it is a pair."""
    try:
        certificate, _ = x509.load_pem_x509_certificates(certfile.read_bytes())
        key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return None
    return certificate if certificate.public_key() == key.public_key() else None


def _make(certfile: Path, keyfile: Path, now: datetime.datetime) -> x509.Certificate:
    key, authority = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name(f"SupersoniQ on {now:%Y-%m-%d %H:%M:%S}, for development")
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    root = (
        _begun(issuer, issuer, authority, authority, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign"), critical=True)
        .sign(authority, hashes.SHA256())
    )
    certificate = (
        _begun(_name("localhost"), issuer, key, authority, now)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write(keyfile, secret, 0o600)
    pem = [each.public_bytes(serialization.Encoding.PEM) for each in (certificate, root)]
    _write(certfile, b"".join(pem), 0o644)
    return certificate


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> x509.CertificateBuilder:
    """What both certificates have, as RFC 5280 and strict verifiers want it."""
    start = now - datetime.timedelta(hours=1)  # clocks differ
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LIFE - datetime.timedelta(minutes=1))
        .add_extension(own, critical=False)
        .add_extension(theirs, critical=False)
    )


def _usage(word: str) -> x509.KeyUsage:
    """A key usage that allows just this."""
    words = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{each: each == word for each in words})


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole or not at all, never readable for more than ``mode`` says."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)
