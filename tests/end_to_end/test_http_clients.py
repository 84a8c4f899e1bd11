"""HTTP mode for real clients: curl, wrk, and Python's own, before nginx."""

import re
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest

from tests.end_to_end.registrar import Place, Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.needed import needed
from tests.support.peers import nginx_http
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.consul

NGINX = """;
    root {home}/files;
    client_max_body_size 0;
    gzip on; gzip_types text/plain; default_type text/plain;
    location /put/ {{ dav_methods PUT; create_full_put_path on; }}
"""

#: Of more than two megabytes, so that curl asks before it sends it.
FILE = b"".join(b"%08d\n" % number for number in range(250_000))


class Web(NamedTuple):
    """A gateway before nginx: its URLs, and nginx's files."""

    url: str
    url_of_ipv6: str
    files: Path

    @property
    def port(self) -> int:
        """That of the first URL."""
        return int(self.url.rpartition(":")[2])


@pytest.fixture(scope="module")
def web(consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """What all clients ask."""
    registrar, home = Registrar(consul), tmp_path_factory.mktemp("clients")
    files = home / "files"
    files.mkdir()
    (files / "file").write_bytes(FILE)
    (files / "short").write_bytes(b"short\n")
    (port,), (other,) = free_ports(1), free_ports(1, "::1")
    with nginx_http(home, NGINX.format(home=home)) as (_, server):
        registrar.add("clients", Place("nginx", server))
        maps = ["--map", f"127.0.0.1:{port}:clients", "--map", f"[::1]:{other}:clients"]
        told = ["--consul", f"127.0.0.1:{consul.port}", "--mode", "http", *maps]
        with Gateway(home, *told):
            yield Web(f"http://127.0.0.1:{port}", f"http://[::1]:{other}", files)
        registrar.clean_up()


class Said(NamedTuple):
    """What curl has printed: bodies, and with ``-v`` the heads."""

    body: bytes
    heads: str


def curl(*arguments: str, body: bytes = b"") -> Said:
    """Run curl, which must succeed."""
    done = subprocess.run(
        [needed("curl"), "-sS", "-v", "--max-time", "20", *arguments],
        input=body,
        capture_output=True,
        timeout=PATIENCE,
    )
    heads = done.stderr.decode(errors="replace")
    assert done.returncode == 0, heads
    return Said(done.stdout, heads.replace("\r", ""))


def test_curl_keeps_its_connection(web: Web) -> None:
    """Several URLs of HTTP/1.1 are had over one connection."""
    said = curl(f"{web.url}/file", f"{web.url}/short", f"{web.url}/short")
    assert said.body == FILE + b"short\n" * 2
    assert said.heads.count("Re-using existing connection") == 2


def test_curl_of_old(web: Web) -> None:
    """A client of HTTP/1.0 gets its answer, and the end of the connection."""
    said = curl("--http1.0", f"{web.url}/file")
    assert said.body == FILE
    assert "\n< Connection: close\n" in said.heads


def test_curl_head(web: Web) -> None:
    """HEAD has the length and no body, and the connection goes on."""
    said = curl("--head", f"{web.url}/file", f"{web.url}/short")
    assert re.findall("(?m)^< Content-Length: (.*)", said.heads) == [
        str(len(FILE)),
        "6",
    ]
    assert "Re-using existing connection" in said.heads


def test_curl_uploads_in_chunks(web: Web) -> None:
    """A body whose length curl does not know arrives whole."""
    said = curl("-T", "-", f"{web.url}/put/chunks", body=FILE)
    assert "\n> Transfer-Encoding: chunked\n" in said.heads
    assert "\n< HTTP/1.1 201 Created\n" in said.heads
    assert (web.files / "put" / "chunks").read_bytes() == FILE


def test_curl_asks_before_it_sends(web: Web) -> None:
    """A large body is sent once nginx wants it."""
    source = str(web.files / "file")
    said = curl("-T", source, f"{web.url}/put/asked")
    assert "\n> Expect: 100-continue\n" in said.heads
    assert "\n< HTTP/1.1 100 Continue\n" in said.heads
    assert "\n< HTTP/1.1 201 Created\n" in said.heads
    assert (web.files / "put" / "asked").read_bytes() == FILE


def test_curl_ranges(web: Web) -> None:
    """Parts of a file are had as from nginx itself."""
    said = curl("-r", "900-1799", f"{web.url}/file")
    assert said.body == FILE[900:1800]
    assert "\n< HTTP/1.1 206 Partial Content\n" in said.heads
    assert f"\n< Content-Range: bytes 900-1799/{len(FILE)}\n" in said.heads
    several = curl("-r", "0-8,-9", f"{web.url}/file")
    assert several.body.count(b"Content-Range: bytes ") == 2
    assert "\n< Content-Type: multipart/byteranges; boundary=" in several.heads


def test_curl_compressed(web: Web) -> None:
    """What nginx has compressed is passed on so."""
    said = curl("--compressed", f"{web.url}/file")
    assert said.body == FILE
    assert "\n< Content-Encoding: gzip\n" in said.heads


def test_curl_with_ipv6(web: Web) -> None:
    """A mapping can be at an IPv6 address."""
    assert curl(f"{web.url_of_ipv6}/short").body == b"short\n"


def test_http_client(web: Web) -> None:
    """Python's http.client keeps its connection over answers of all kinds."""
    connection = HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE)
    connection.connect()
    sock = connection.sock
    for path, status, length in [
        ("/short", 200, 6),
        ("/file", 200, len(FILE)),
        ("/none", 404, None),
        ("/short", 200, 6),
    ]:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == status
        assert length is None or len(body) == length
        assert connection.sock is sock
    connection.close()


def test_urllib(web: Web) -> None:
    """urllib, which asks for the connection's end, gets it with the answer."""
    request = Request(f"{web.url}/put/urllib", data=b"data", method="PUT")
    with urlopen(request, timeout=PATIENCE) as response:
        assert response.status == 201
        assert response.headers["Connection"] == "close"
    with urlopen(f"{web.url}/put/urllib", timeout=PATIENCE) as response:
        assert response.read() == b"data"


def test_wrk(web: Web) -> None:
    """Not one of all the requests that fit into a second fails."""
    done = subprocess.run(
        [needed("wrk"), "-t1", "-c16", "-d1s", f"{web.url}/short"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert re.search(r"[1-9]\d* requests in ", done.stdout), done.stdout
    assert "Socket errors" not in done.stdout
    assert "Non-2xx" not in done.stdout
