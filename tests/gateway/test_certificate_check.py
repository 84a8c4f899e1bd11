"""What --check says of certificates."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lbconsul.config.model import TLS, Mapping
from lbconsul.consul.key_watch import KeyValue
from lbconsul.gateway.certificate_check import CertificateCheck
from tests.support.certificates import Authority, together
from tests.support.mappings import altered


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path)


@pytest.fixture
def put(tmp_path: Path, authority: Authority) -> Callable[..., str]:
    """Puts a certificate into the folder ``certs``."""
    (tmp_path / "certs").mkdir()

    def into(name: str, *, chain: bool = True, **options: Any) -> str:
        issued = authority.issue(name, **options)
        chained = [authority.file] if chain else []
        return together(
            tmp_path / "certs" / f"{name}.pem", issued.cert, *chained, issued.key
        )

    return into


def checked(*mappings: Mapping) -> CertificateCheck:
    """The check of some mappings."""
    check = CertificateCheck(time.time)
    check.check(mappings)
    return check


def test_nothing_wrong(put: Callable[..., str], authority: Authority) -> None:
    """There is nothing to say of what is in order, nor of what is without TLS."""
    mapping = altered(Mapping("web"), tls=put("a"), client_ca=authority.file)
    check = checked(mapping, Mapping("mail"), altered(Mapping("x"), tls="consul:x"))
    assert check.errors == check.warnings == []


def test_admin_listener(put: Callable[..., str], tmp_path: Path) -> None:
    """The certificates of the admin listener are checked with those of mappings."""
    check = CertificateCheck(time.time)
    check.check([Mapping("mail")], TLS(certificates=put("a")))
    assert check.errors == []
    check.check([], TLS(certificates=f"{tmp_path}/gone.pem"))
    assert check.errors == [
        f"admin: tls {tmp_path}/gone.pem: cannot be read: No such file or directory"
    ]


def test_every_file(
    put: Callable[..., str], authority: Authority, tmp_path: Path
) -> None:
    """Each file that is wrong has its line, whatever is wrong with others."""
    day = timedelta(days=1)
    folder = tmp_path / "certs"
    put("1-expired", begin=-2 * day, end=-day)
    put("2-early", begin=day)
    put("3-soon", end=day)
    put("4-alone", chain=False)
    stranger = authority.issue("x", key=ec.generate_private_key(ec.SECP256R1()))
    own = authority.issue("y")
    together(folder / "5-other.pem", own.cert, stranger.key)
    (folder / "6-none.pem").mkdir()
    encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    encrypted += b"-----END ENCRYPTED PRIVATE KEY-----\n"
    (folder / "7-locked.pem").write_bytes(Path(own.cert).read_bytes() + encrypted)
    check = checked(
        altered(
            Mapping("web"),
            tls=str(folder),
            client_ca=f"{tmp_path}/none",
            upstream_tls=True,
            upstream_ca=f"{tmp_path}/none",
        )
    )
    begin = f"web: {folder}/"
    said = [each.replace(begin, "").split(" on 2")[0] for each in check.errors]
    locked = len(Path(own.cert).read_text().splitlines()) + 1
    assert [each.split(" before 2")[0] for each in said] == [
        f"web: client-ca {tmp_path}/none: cannot be read: No such file or directory",
        "1-expired.pem: the certificate expired",
        "2-early.pem: the certificate is not valid",
        f"web: tls {folder}/5-other.pem: the private key does not fit the certificate"
        " (CN=y)",
        f"web: tls {folder}/6-none.pem: holds no *.pem file",
        f"web: tls {folder}/7-locked.pem, line {locked}: the private key is under a"
        " passphrase; store it without one",
        f"web: upstream-ca {tmp_path}/none: cannot be read: No such file or directory",
    ]
    said = [each.replace(begin, "").split(" on 2")[0] for each in check.warnings]
    assert [each[:40] for each in said] == [
        "3-soon.pem: the certificate expires soon",
        "4-alone.pem: the chain is missing: the c",
    ]


def test_revocation_list_that_is_out_of_date(
    put: Callable[..., str], authority: Authority
) -> None:
    """A list whose next one is overdue is an error: no client is let in with it.  One
    that soon will be is worth a warning.
    """
    files = {"tls": put("a"), "client_ca": authority.file}
    current = authority.revoke()
    mapping = altered(Mapping("web"), **files, client_crl=current)
    assert checked(mapping).errors == []
    authority.revoke(end=timedelta(minutes=1))
    check = checked(mapping)
    [line] = [each for each in check.warnings if "client-crl" in each]
    assert f"client-crl {current}: the list of CN=authority is out of date soon" in line
    assert check.errors == []
    overdue = authority.revoke(end=-timedelta(minutes=1))
    check = checked(mapping)
    [line] = check.errors
    assert line.startswith(f"{mapping}: client-crl {overdue}: the list of CN=authority")
    assert " is out of date since " in line


def test_no_file(tmp_path: Path) -> None:
    """A folder without certificates is an error, as is one that is not there."""
    lines = [checked(altered(Mapping("web"), tls=str(tmp_path))).errors]
    lines.append(checked(altered(Mapping("web"), tls=f"{tmp_path}/no")).errors)
    assert lines == [
        [f"web: tls {tmp_path}: holds no *.pem file"],
        [f"web: tls {tmp_path}/no: cannot be read: No such file or directory"],
    ]


def test_keys(put: Callable[..., str]) -> None:
    """Keys of Consul are checked as files are."""
    good = KeyValue("x/a", Path(put("a")).read_bytes())
    tls = altered(Mapping("web"), tls="consul:x", client_ca="/no").tls
    check = CertificateCheck(time.time)
    assert check.check_keys(tls, "80:web", [good, KeyValue("x/b", b"")]) == 1
    assert check.check_keys(tls, "80:web", []) == 0
    assert check.errors == [
        "80:web: tls consul:x/b: holds no PEM certificate",
        "80:web: tls consul:x: there is no such key, or ACLs hide it from the token",
    ]


def test_keys_that_are_valid(put: Callable[..., str]) -> None:
    """A certificate counts as one that is not valid, however much is wrong with it."""
    day = timedelta(days=1)
    keys = [
        KeyValue("x/a", Path(put("a")).read_bytes()),
        KeyValue("x/b", Path(put("b", chain=False)).read_bytes()),
        KeyValue(
            "x/c",
            Path(put("c", chain=False, begin=-2 * day, end=-day)).read_bytes(),
        ),
    ]
    tls = altered(Mapping("web"), tls="consul:x").tls
    check = CertificateCheck(time.time)
    assert check.check_keys(tls, "80:web", keys) == 2
    assert (len(check.errors), len(check.warnings)) == (2, 1)
