"""A certificate, its chain and its key are found in a file, whatever their order."""

from pathlib import Path

import pytest

from lbconsul.errors import ConfigError
from lbconsul.tls.certified_key import CertifiedKey, read_certified_key
from lbconsul.tls.pem import PEM
from tests.support.certificates import (
    Authority,
    Issued,
    together,
    with_broken_name,
)


def chain_of(certified_key: CertifiedKey) -> list[str]:
    """The names in the chain."""
    return [each.subject.rfc4514_string() for each in certified_key.chain]


def pem(path: str) -> PEM:
    """A file's blocks."""
    return PEM.read("--tls", path)


def test_the_chain_is_put_in_order(tmp_path: Path) -> None:
    """
    The certificate of the key is the server's own, wherever it stands; those above it
    follow in the order of issuing, and what belongs to neither is left out.
    """
    root = Authority(tmp_path, "root")
    middle = Authority(tmp_path, "middle", above=root)
    lowest = Authority(tmp_path, "lowest", above=middle)
    other = Authority(tmp_path, "other")
    own = lowest.issue("localhost")
    files = [root.file, lowest.file, own.key, other.file, own.cert, middle.file]
    certified_key = read_certified_key(pem(together(tmp_path / "all", *files)))
    assert certified_key.own.subject.rfc4514_string() == "CN=localhost"
    assert chain_of(certified_key) == ["CN=lowest", "CN=middle", "CN=root"]


def test_a_chain_that_is_not_whole(tmp_path: Path) -> None:
    """A chain ends where the next issuer is not in the file."""
    root = Authority(tmp_path, "root")
    middle = Authority(tmp_path, "middle", above=root)
    own = middle.issue("localhost")
    assert chain_of(read_certified_key(pem(own.cert), pem(own.key))) == []
    path = together(tmp_path / "all", own.cert, middle.file)
    assert chain_of(read_certified_key(pem(path), pem(own.key))) == ["CN=middle"]


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    """A key that fits no certificate is refused, with the certificates' names."""
    authority = Authority(tmp_path)
    own, other = authority.issue("localhost"), authority.issue("other")
    path = together(tmp_path / "all", own.cert, other.key)
    with pytest.raises(ConfigError) as refused:
        read_certified_key(pem(path))
    assert str(refused.value) == (
        f"--tls {path}: the private key does not fit the certificate (CN=localhost)"
    )
    with pytest.raises(ConfigError, match="does not fit"):
        read_certified_key(pem(own.cert), pem(other.key))


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    """The text form of certificate and key holds no key."""
    own: Issued = Authority(tmp_path).issue("localhost")
    assert repr(read_certified_key(pem(own.cert), pem(own.key))) == "CertifiedKey()"


def test_a_name_that_cannot_be_read(tmp_path: Path) -> None:
    """A certificate whose subject cannot be read is refused, in one line."""
    issued = Authority(tmp_path).issue("localhost")
    broken = with_broken_name(tmp_path / "broken.crt", issued.cert, "localhost")
    path = together(tmp_path / "web.pem", broken, issued.key)
    with pytest.raises(ConfigError) as refused:
        read_certified_key(pem(path))
    assert str(refused.value) == (
        f"--tls {path}: the names in a certificate cannot be read"
    )
