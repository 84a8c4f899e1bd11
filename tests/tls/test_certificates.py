"""Which certificates there are, what is wrong with them, and who gets which."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from lbconsul.errors import ConfigError
from lbconsul.tls.certificates import (
    CertificateStore,
    ServerCertificate,
)
from tests.support.certificates import (
    UNREADABLE_NAME,
    Authority,
    Issued,
    load_certificates,
    together,
)

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for certificates."""
    path = tmp_path / "certs"
    path.mkdir()
    return path


def put(folder: Path, name: str, issued: Issued, *chain: str) -> str:
    """A file of the folder with certificate, chain and key."""
    return together(folder / name, issued.cert, *chain, issued.key)


def loaded(path: Path | str) -> ServerCertificate:
    """The certificate of a file."""
    (found,) = load_certificates("--tls", str(path))
    return found


def test_what_is_known_of_a_certificate(tmp_path: Path, authority: Authority) -> None:
    """Names, dates, fingerprint and file are told."""
    issued = authority.issue(
        "web", names=["Web.Example.COM.", "*.example.com", "not a name"]
    )
    path = put(tmp_path, "web.pem", issued, authority.file)
    os.utime(path, (1000, 1000))
    found = loaded(path)
    assert found.source == path
    assert found.names == ("web.example.com", "*.example.com")
    assert found.not_after - found.not_before == 90 * DAY + HOUR
    assert found.days_left(found.not_after - DAY) == 1
    assert found.changed == 1000
    assert len(found.fingerprint) == 64
    assert "PRIVATE" not in repr(found) and "certified_key=CertifiedKey()" in repr(
        found
    )


def test_names_without_alternatives(tmp_path: Path, authority: Authority) -> None:
    """The common name counts if there are no alternative names, and only then."""
    without = authority.issue("old.example.com", names=[])
    assert loaded(put(tmp_path, "1.pem", without)).names == ("old.example.com",)
    address = authority.issue("common.example.com", "127.0.0.1", names=[])
    assert loaded(put(tmp_path, "2.pem", address)).names == ()


def test_names_that_cannot_be_read(tmp_path: Path, authority: Authority) -> None:
    """A certificate with alternative names that cannot be read is refused."""
    issued = authority.issue("web", names=(), also=[UNREADABLE_NAME])
    path = put(tmp_path, "web.pem", issued)
    with pytest.raises(ConfigError) as refused:
        loaded(path)
    assert str(refused.value) == f"--tls {path}: the certificate's names cannot be read"


def test_a_folder(folder: Path, authority: Authority) -> None:
    """Every *.pem counts, in the order of names; hidden and other files do not."""
    for name in ("b.pem", "a.pem", ".hidden.pem", "c.txt"):
        put(folder, name, authority.issue(name))
    found = load_certificates("--tls", str(folder))
    assert [os.path.basename(each.source) for each in found] == ["a.pem", "b.pem"]


def test_a_folder_without_certificates(folder: Path) -> None:
    """An empty folder is refused, as is one with a broken file, which is named."""
    with pytest.raises(ConfigError) as refused:
        load_certificates("--tls", str(folder))
    assert str(refused.value) == f"--tls {folder}: holds no *.pem file"
    (folder / "a.pem").write_text("nothing")
    with pytest.raises(ConfigError) as refused:
        load_certificates("--tls", str(folder))
    assert str(refused.value) == f"--tls {folder}/a.pem: holds no PEM certificate"
    with pytest.raises(ConfigError) as refused:
        load_certificates("--tls", f"{folder}/none")
    assert str(refused.value) == (
        f"--tls {folder}/none: cannot be read: No such file or directory"
    )


def test_a_folder_that_cannot_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be listed is refused with the reason."""

    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ConfigError) as refused:
        load_certificates("--tls", str(folder))
    assert str(refused.value) == f"--tls {folder}: cannot be read: Permission denied"


def test_nothing_wrong(tmp_path: Path, authority: Authority) -> None:
    """A certificate with its chain, and one that signs itself, are in order."""
    good = loaded(put(tmp_path, "web.pem", authority.issue("web"), authority.file))
    assert good.problems(good.not_before) == []
    assert good.problems(good.not_after - 15 * DAY) == []


def test_what_is_wrong(tmp_path: Path, authority: Authority) -> None:
    """Each problem of a certificate that can be served is one line."""
    path = put(tmp_path, "web.pem", authority.issue("web"), authority.file)
    found = loaded(path)
    until, since = found.not_after, found.not_before
    (soon,) = found.problems(until - 13 * DAY)
    assert soon.startswith(f"{path}: the certificate expires soon, on 20")
    (expired,) = found.problems(until + 1)
    assert expired.startswith(f"{path}: the certificate expired on 20")
    assert expired.endswith(" UTC")
    (early,) = found.problems(since - 1)
    assert early.startswith(f"{path}: the certificate is not valid before 20")
    alone = loaded(put(tmp_path, "alone.pem", authority.issue("alone")))
    (chain,) = alone.problems(since + DAY)
    assert "the chain is missing: the certificate's issuer CN=authority is" in chain
    nameless = loaded(
        put(tmp_path, "no.pem", authority.issue("x", "::1", names=[]), authority.file)
    )
    assert nameless.problems(since + DAY) == [
        f"{tmp_path}/no.pem: the certificate has no host name"
    ]


class TestStore:
    """Which certificate a client gets."""

    @pytest.fixture(autouse=True)
    def _place(self, folder: Path, authority: Authority) -> None:
        self.folder, self.authority = folder, authority

    def add(
        self,
        file: str,
        *names: str,
        begin: timedelta = -timedelta(days=2),
        end: timedelta = timedelta(days=2),
    ) -> None:
        """A certificate in a file."""
        issued = self.authority.issue(file, names=names, begin=begin, end=end)
        put(self.folder, f"{file}.pem", issued)

    def chosen(self, name: str | None, later: timedelta = timedelta()) -> str:
        """The file of what a client gets that asks for a name now, or later."""
        found = load_certificates("--tls", str(self.folder))
        now = max(each.not_before for each in found if each.names) + 1
        store = CertificateStore(found)
        chosen = store.find(name, now + later.total_seconds())
        return Path(chosen.source).stem

    def test_exact_before_wildcard(self) -> None:
        """A name's own certificate comes before a wildcard's, which is one label."""
        self.add("a", "example.com")
        self.add("b", "*.example.com")
        self.add("c", "api.example.com")
        assert self.chosen("api.example.com") == "c"
        assert self.chosen("web.example.com") == "b"
        assert self.chosen("example.com") == "a"
        assert self.chosen("x.web.example.com") == "a"
        assert self.chosen("unknown.org") == "a"
        assert self.chosen(None) == "a"

    def test_the_newest(self) -> None:
        """Of several for a name the newest wins, even for a client without a name."""
        self.add("a", "web.example.com", begin=-timedelta(days=2))
        self.add("b", "web.example.com", begin=-timedelta(days=1))
        self.add("c", "web.example.com", begin=-timedelta(days=2))
        assert self.chosen("web.example.com") == "b"
        assert self.chosen(None) == "b"

    def test_the_newest_file(self) -> None:
        """Of those with the same date the file that was changed last wins."""
        begin = -timedelta(days=2)
        for file, changed in (("a", 1), ("b", 3), ("c", 2)):
            self.add(file, "web.example.com", begin=begin)
            os.utime(self.folder / f"{file}.pem", (changed, changed))
        found = load_certificates("--tls", str(self.folder))
        if len({each.not_before for each in found}) == 1:  # no second has passed
            assert self.chosen("web.example.com") == "b"

    def test_a_valid_one_first(self) -> None:
        """A valid certificate comes before a newer or a closer one that is not."""
        self.add("old", "web.example.com")
        self.add("next", "web.example.com", begin=timedelta(days=1))
        self.add("wild", "*.example.com", end=timedelta(days=9))
        now = -timedelta(days=1)
        assert self.chosen("web.example.com", now) == "old"
        assert self.chosen("web.example.com") == "next"
        assert self.chosen("web.example.com", timedelta(days=3)) == "wild"
        assert self.chosen("web.example.com", timedelta(days=30)) == "next"

    def test_a_first_one_without_names(self) -> None:
        """A certificate without host names is the default if it comes first."""
        issued = self.authority.issue("x", "127.0.0.1", names=[])
        put(self.folder, "0.pem", issued)
        self.add("a", "web.example.com")
        assert self.chosen(None) == "0"
        assert self.chosen("web.example.com") == "a"
