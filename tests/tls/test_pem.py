"""A PEM file that cannot be used is told in one line: option, file, line, reason."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from lbconsul.errors import ConfigError
from lbconsul.tls.pem import PEM
from tests.support.certificates import Authority, Issued, together


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    """A certificate and its key."""
    return Authority(tmp_path).issue("localhost")


def refusal(path: Path, part: str) -> str:
    """Why a part of the file cannot be read, without the file's name."""
    with pytest.raises(ConfigError) as refused:
        getattr(PEM.read("--tls", str(path)), part)()
    text = str(refused.value)
    assert text.startswith(f"--tls {path}")
    assert "\n" not in text
    return text.removeprefix(f"--tls {path}")


def test_parts_in_any_order(tmp_path: Path, issued: Issued) -> None:
    """Certificates and key may stand in any order, with text between them."""
    notes = tmp_path / "notes"
    notes.write_text("Bag Attributes: none\n-----BEGIN it all-----is no boundary\n")
    parameters = tmp_path / "parameters"
    parameters.write_text(
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    )
    path = together(
        tmp_path / "all.pem",
        str(parameters),
        issued.key,
        str(notes),
        issued.cert,
        str(tmp_path / "authority.pem"),
    )
    pem = PEM.read("--tls", path)
    names = [each.subject.rfc4514_string() for each in pem.certificates()]
    assert names == ["CN=localhost", "CN=authority"]
    assert pem.key()


def test_line_ends_of_other_systems(tmp_path: Path, issued: Issued) -> None:
    """Carriage returns, and a last line without an end, do not matter."""
    path = tmp_path / "dos.pem"
    content = Path(issued.cert).read_bytes() + Path(issued.key).read_bytes()
    path.write_bytes(content.rstrip(b"\n").replace(b"\n", b"\r\n"))
    pem = PEM.read("--tls", str(path))
    assert pem.certificates() and pem.key()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named with the reason."""
    assert refusal(tmp_path / "none.pem", "key") == (
        ": cannot be read: No such file or directory"
    )
    assert refusal(tmp_path, "key") == ": cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("certificates", "certificate"),
        ("key", "private key"),
        ("revocation_lists", "certificate revocation list"),
    ],
)
def test_a_file_without_a_part(tmp_path: Path, part: str, what: str) -> None:
    """A file in another format than PEM, or without the part, is named."""
    path = tmp_path / "other.der"
    path.write_bytes(b"\x30\x82\x01\x0a")
    assert refusal(path, part) == f": holds no PEM {what}"


@pytest.mark.parametrize(
    ("part", "label", "what"),
    [
        ("certificates", "CERTIFICATE", "certificate"),
        ("key", "PRIVATE KEY", "private key"),
        ("key", "RSA PRIVATE KEY", "private key"),
        ("revocation_lists", "X509 CRL", "CRL"),
    ],
)
def test_a_part_that_is_broken(
    tmp_path: Path, part: str, label: str, what: str
) -> None:
    """A part that cannot be parsed is named with its line, and not shown."""
    path = tmp_path / "broken.pem"
    for content in ("c2VjcmV0", "???", ""):
        path.write_text(
            f"\n\n-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"
        )
        assert refusal(path, part) == f", line 3: no valid {what}"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            "x\n-----BEGIN CERTIFICATE-----\nAAAA\n",
            "2: BEGIN CERTIFICATE without its END",
        ),
        (
            "-----BEGIN A-----\nAAAA\n-----BEGIN B-----\n-----END B-----\n",
            "1: BEGIN A without its END",
        ),
        ("-----BEGIN A-----\n-----END B-----\n", "2: END B without its BEGIN"),
        ("\n\n\n-----END A-----\n", "4: END A without its BEGIN"),
    ],
)
def test_a_part_without_its_end(tmp_path: Path, content: str, what: str) -> None:
    """A file that was cut, or put together wrongly, is named with the line."""
    path = tmp_path / "cut.pem"
    path.write_text(content)
    assert refusal(path, "key") == f", line {what}"


@pytest.mark.parametrize(
    "form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]
)
def test_a_key_under_a_passphrase(tmp_path: Path, form: PrivateFormat) -> None:
    """A key under a passphrase is refused: the gateway starts unattended."""
    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path / "locked.key"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
    )
    assert refusal(path, "key") == (
        ", line 1: the private key is under a passphrase; store it without one"
    )


def test_a_key_that_tls_cannot_use(tmp_path: Path) -> None:
    """A key of a kind that TLS has no suite for is refused."""
    key = dsa.generate_private_key(2048)
    path = tmp_path / "dsa.key"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    assert refusal(path, "key") == ", line 1: no valid private key"
