"""Users log in at a gateway with workers, by a file that changes."""

from base64 import b64encode
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.support.passwords import write_passwords
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul


def test_users_and_their_file(stage: Stage, tmp_path: Path) -> None:
    """
    Each worker asks for passwords, and takes those of a new file at a reload; a file
    that is broken changes nothing.  Users are in the log, and hashes are nowhere.
    """
    [port], file = free_ports(1), tmp_path / "htpasswd"
    stage.add(stage.servers[0])
    write_passwords(file, alice="one")
    gateway = stage.gateway(
        *("--workers", "2", "--map", f"{port}:{stage.service},mode=http"),
        *("--basic-auth", str(file)),
        *("--route", f"{port}:/open={stage.service},basic-auth=off"),
    )
    all_serve(gateway, 2)

    def ask(password: str = "", path: str = "/") -> int:
        client = HTTPConnection("127.0.0.1", port)
        shown = b64encode(f"alice:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {shown}"} if password else {}
        client.request("GET", path, headers=headers)
        status = client.getresponse().status
        client.close()
        return status

    def answers(password: str) -> set[int]:
        return {ask(password) for _ in range(8)}

    assert (answers(""), answers("two"), answers("one")) == ({401}, {401}, {200})
    assert ask(path="/open") != 401
    write_passwords(file, alice="two")
    gateway.reload()
    eventually(lambda: answers("two") == {200}, "the new password is taken")
    eventually(lambda: answers("one") == {401}, "the old one is not")
    file.write_text("alice:two\n")
    gateway.reload()
    gateway.expect(r"not reloaded: .*basic-auth .*: line 1: the password of alice is")
    assert answers("two") == {200}
    log = gateway.log()
    assert ' user="alice"' in log or " user=alice" in log
    assert "reason=unauthorized" in log
    assert "$2b$" not in log
