"""Requests of users who have to log in."""

from base64 import b64encode
from pathlib import Path

import pytest

from lbconsul.proxy import password_checks
from tests.support.http_stage import OK, HTTPStage
from tests.support.passwords import write_passwords
from tests.support.waiting import eventually


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The passwords of alice."""
    return write_passwords(tmp_path / "htpasswd", alice="right")


def request(credentials: str = "", *lines: str, method: str = "GET") -> bytes:
    """A request of this user and password."""
    head = [f"{method} / HTTP/1.1", "Host: a.example", *lines]
    if credentials:
        head.append(f"Authorization: Basic {b64encode(credentials.encode()).decode()}")
    return "\r\n".join([*head, "", ""]).encode()


def test_who_is_served(file: str) -> None:
    """Only a request with the right password gets an instance; each other one is asked
    for it, on the same connection, and counted as unauthorized."""
    with HTTPStage(basic_auth=file, basic_auth_realm="Staff") as stage:
        client = stage.client()
        for credentials in ("", "alice:wrong", "mallory:right"):
            client.say(request(credentials))
            head, _ = client.hear_message()
            assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
            asked = b'WWW-Authenticate: Basic realm="Staff", charset="UTF-8"\r\n'
            assert asked in head
            assert b"Connection: close" not in head
        for number in range(2):
            client.say(request("alice:right"))
            if not number:
                upstream = stage.upstream()
            assert b"Authorization: Basic " in upstream.hear()
            upstream.say(OK)
            assert client.hear_message()[0].startswith(b"HTTP/1.1 200 ")
        http = stage.proxy.mapped.stats.use_http()
        eventually(lambda: http.refused == {"unauthorized": 3}, "they are counted")


def test_routes_and_upgrades(file: str) -> None:
    """A route may do without, and an upgrade needs a password as any request does."""
    routes = {"a.example/": {"basic_auth": file}, "b.example/": {}}
    upgrade = "Connection: Upgrade", "Upgrade: websocket"
    with HTTPStage(routes=routes) as stage:
        client = stage.client()
        client.say(request("", *upgrade))
        assert client.hear_message()[0].startswith(b"HTTP/1.1 401 ")
        client.say(request().replace(b"a.example", b"b.example"))
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        client.say(request("alice:right", *upgrade))
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        ))  # fmt: skip
        client.hear()
        client.say(b"ping")
        assert upstream.hear_bytes(4) == b"ping"


def test_a_body(file: str) -> None:
    """What comes of a body while its password is verified goes to the instance, too;
    without the right password it is not read."""
    with HTTPStage(basic_auth=file) as stage:
        client = stage.client()
        client.say(request("alice:right", "Content-Length: 6", method="PUT") + b"abc")
        upstream = stage.upstream()
        upstream.hear()
        client.say(b"def")
        assert upstream.hear_bytes(6) == b"abcdef"
        upstream.say(OK)
        client.hear_message()
        client.say(request("alice:x", "Content-Length: 6", method="PUT"))
        head, _ = client.hear_message()
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"Connection: close\r\n" in head


def test_too_many(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that too many wait for are not verified: 503 says to come again."""
    monkeypatch.setattr(password_checks, "MOST_OF_CLIENT", 0)
    monkeypatch.setattr(password_checks, "MOST_WAITING", 0)
    with HTTPStage(basic_auth=file) as stage:
        client = stage.client()
        client.say(request("alice:right"))
        head, _ = client.hear_message()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in head
        http = stage.proxy.mapped.stats.use_http()
        eventually(lambda: http.refused == {"logins-full": 1}, "it is counted")


def test_a_client_that_leaves(file: str) -> None:
    """A client that leaves before the verdict costs no instance anything."""
    with HTTPStage(basic_auth=file) as stage:
        client = stage.client()
        with stage.at_once():
            client.say(request("alice:right"))
            client.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset
            client.close()
        eventually(lambda: stage.proxy.open() == 0, "the client is gone")
