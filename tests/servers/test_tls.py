"""Certificates and keys: what is wrong with them is said before a server begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from supersoniq.core.errors import InvalidSetting
from supersoniq.servers.tls import check_pair, whose

AUTHORITY = trustme.CA()
NAMES = ["a.example", "b.example", "c.example", "d.example", "127.0.0.1"]


class Files:
    """A certificate, its key, both of them, another's key, and an encrypted one."""

    def __init__(self, folder: Path) -> None:
        pair, other = AUTHORITY.issue_cert(*NAMES), AUTHORITY.issue_cert("other.example")
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.both, self.others = folder / "both.pem", folder / "others.pem"
        self.locked, self.junk = folder / "locked.pem", folder / "junk.pem"
        self.chain.write_bytes(b"".join(each.bytes() for each in pair.cert_chain_pems))
        pair.private_key_pem.write_to_path(str(self.key))
        pair.private_key_and_cert_chain_pem.write_to_path(str(self.both))
        other.private_key_pem.write_to_path(str(self.others))
        key = load_pem_private_key(self.key.read_bytes(), None)
        encrypted = BestAvailableEncryption(b"secret")
        self.locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted))
        self.junk.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
        self.nowhere = folder / "nowhere.pem"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def test_what_fits(files: Files) -> None:
    check_pair(files.both)
    check_pair(files.chain, files.key)
    check_pair(str(files.chain), str(files.key))


@pytest.mark.parametrize(
    ("chain", "key", "setting", "problem"),
    [
        ("chain", None, "certfile", "is there a keyfile"),
        ("key", None, "certfile", "holds no certificate and key"),
        ("junk", None, "certfile", "holds no certificate and key"),
        ("chain", "others", "keyfile", "is not the key of the first certificate"),
        ("both", "others", "keyfile", "is not the key of the first certificate"),
        ("chain", "locked", "certfile", "locked.pem' no key"),
        ("chain", "chain", "certfile", "no key"),
        ("junk", "key", "certfile", "holds no certificate"),
    ],
)
def test_what_does_not(
    files: Files, chain: str, key: str | None, setting: str, problem: str
) -> None:
    with pytest.raises(InvalidSetting, match=problem) as caught:
        check_pair(getattr(files, chain), None if key is None else getattr(files, key))
    assert caught.value.setting == setting
    assert caught.value.value == str(getattr(files, chain if setting == "certfile" else key or ""))


@pytest.mark.parametrize(("chain", "key"), [("nowhere", None), ("chain", "nowhere")])
def test_what_is_not_there(files: Files, chain: str, key: str | None) -> None:
    with pytest.raises(FileNotFoundError):
        check_pair(getattr(files, chain), None if key is None else getattr(files, key))


def test_whose_it_is(files: Files, tmp_path: Path) -> None:
    told = whose(files.chain)
    assert told.startswith("a.example, b.example, c.example and 2 more; issued by ")
    assert "trustme" in told
    own = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(own))
    told = whose(own)  # it names no host
    assert "; self-signed; until " in told
    assert "trustme" in told.partition(";")[0]
