"""The files of the page."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbconsul.admin import static_files as module
from lbconsul.admin.static_files import pages
from tests.support.admin_client import Site


@pytest.fixture(autouse=True)
def _some_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A page of our own, whatever the real one is made of."""
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html>")
    (page / "a.js").write_text("1")
    (page / "a.css").write_text("a{}")
    (page / "a.LICENSE").write_text("free")
    (page / "notes.py").write_text("")
    (page / "sub.js").mkdir()
    (tmp_path / "outside.js").write_text("secret")
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    pages.cache_clear()
    yield
    pages.cache_clear()


def test_what_is_served() -> None:
    """Files are served that a page is made of, and nothing else that lies there."""
    assert set(pages()) == {"/", "/index.html", "/a.js", "/a.css"}
    site = Site()
    for path in ("/a.LICENSE", "/notes.py", "/sub.js", "/../outside.js", "/page/a.js"):
        assert site.ask("GET", path).code == 404


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/a.js", "text/javascript"), ("/a.css", "text/css")],
)
def test_a_page(path: str, kind: str) -> None:
    """A browser gets the content type, revalidates, and gets the security headers."""
    said = Site().ask("GET", path)
    assert (said.code, said.body) == (200, pages()[path].body)
    assert said.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert said.headers["Cache-Control"] == "no-cache"
    assert "default-src 'none'" in said.headers["Content-Security-Policy"]
    assert Site().ask("POST", path).code == 405
    assert Site().ask("HEAD", path).body == b""


def test_what_the_browser_has() -> None:
    """What the browser has already is not sent again."""
    etag = Site().ask("GET", "/").headers["ETag"]
    for known in (etag, f'"x", W/{etag}'):
        said = Site().ask("GET", "/", [("If-None-Match", known)])
        assert (said.code, said.body, said.headers["ETag"]) == (304, b"", etag)
    assert Site().ask("GET", "/a.js", [("If-None-Match", etag)]).code == 200


def test_packed() -> None:
    """A client that accepts gzip gets it, under another ETag."""
    plain = Site().ask("GET", "/a.js")
    gladly = ("Accept-Encoding", "gzip, br")
    said = Site().ask("GET", "/a.js", [gladly])
    assert gzip.decompress(said.body) == plain.body
    assert said.headers["Content-Encoding"] == "gzip"
    assert said.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert said.headers["ETag"] != plain.headers["ETag"]
    known = ("If-None-Match", said.headers["ETag"])
    assert Site().ask("GET", "/a.js", [gladly, known]).code == 304
    assert Site().ask("GET", "/a.js", [known]).code == 200


def test_without_a_page(tmp_path: Path) -> None:
    """Where the files are not there, there is no page."""
    for each in (tmp_path / "page").iterdir():
        each.rmdir() if each.is_dir() else each.unlink()
    (tmp_path / "page").rmdir()
    pages.cache_clear()
    assert Site().ask("GET", "/").code == 404


def test_from_elsewhere() -> None:
    """The page tells nothing by itself: it can ask for the token."""
    from lbconsul.config.listen import TCPListen

    assert Site(TCPListen("0.0.0.0", 9200)).ask("GET", "/").code == 200
    assert Site().ask("GET", "/", [("Host", "evil.example")]).code == 403
