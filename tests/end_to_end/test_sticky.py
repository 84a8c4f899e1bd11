"""Clients come to the same instance again: by a cookie, or by what they send."""

import re
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.process

_TOKEN = re.compile(r"lbconsul=([\w-]{22}); Path=/; HttpOnly; SameSite=Lax")


def ask(port: int, **fields: str) -> tuple[str, str]:
    """The server that answers a client on a connection of its own, and its cookie."""
    client = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        client.request("GET", "/", headers=fields)
        answer = client.getresponse()
        found = _TOKEN.fullmatch(answer.headers.get("Set-Cookie", ""))
        return answer.read().decode().split()[0], found[1] if found else ""
    finally:
        client.close()


def ask_again(port: int, token: str, times: int = 12) -> set[tuple[str, str]]:
    """Which servers answer a client with this cookie, and the cookies that it gets."""
    return {ask(port, Cookie=f"a=b; lbconsul={token}") for _ in range(times)}


def test_a_session_lasts(
    stage: Stage, own_servers: list[WebServer], tmp_path: Path
) -> None:
    """Over two workers, a reload, a drain and a takeover a client keeps its instance,
    and gets another one when that is gone.
    """
    ids = {each.name: stage.add(each) for each in own_servers}
    (port,) = free_ports(1)
    file = tmp_path / "lbconsul.toml"
    options = "mode=http,sticky=cookie,eject-after=1"
    file.write_text(f"map = ['{port}:{stage.service},{options}']\nworkers = 2\n")
    told = ["--config", str(file), "--takeover", str(tmp_path / "lb.sock")]
    first = stage.gateway(*told)
    mine, token = ask(port)
    assert token
    assert ask_again(port, token) == {(mine, "")}
    assert len({ask(port)[0] for _ in range(60)}) == 3

    file.write_text(
        f"map = ['{port}:{stage.service},{options},policy=hash']\nworkers = 2\n"
    )
    first.reload()
    first.wait_for("reloaded: 0 added, 1 altered")
    assert ask_again(port, token) == {(mine, "")}

    stage.registrar.maintain(ids[mine], True)
    eventually(
        lambda: mine not in {ask(port, Cookie=f"a={n}")[0] for n in range(30)},
        "new clients go elsewhere",
    )
    assert ask_again(port, token) == {(mine, "")}

    second = stage.gateway(*told, wait="listening")
    first.wait_until_gone()
    second.wait_for("balancing")
    assert ask_again(port, token) == {(mine, "")}
    stage.registrar.maintain(ids[mine], False)

    next(each for each in own_servers if each.name == mine).kill()
    other, another = ask(port, Cookie=f"lbconsul={token}")
    assert other != mine
    assert another not in ("", token)
    assert ask_again(port, another) == {(other, "")}


def test_all_gateways_agree(
    stage: Stage, gateway: StartGateway, tmp_path: Path
) -> None:
    """Gateways with one key know each other's cookies, and hash to the same instance,
    with workers or without.
    """
    for each in stage.servers[:3]:
        stage.add(each)
    key = tmp_path / "cookie.key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    ports = free_ports(4)
    for workers, sticky, hashed in (("1", *ports[:2]), ("2", *ports[2:])):
        last = gateway(
            *("--workers", workers, "--cookie-key-file", str(key)),
            *("--map", f"{sticky}:{stage.service},mode=http,sticky=cookie"),
            *(
                "--map",
                f"{hashed}:{stage.service},mode=http,policy=hash,hash-by=header:x-tenant",
            ),
        )
    for port, other in ((ports[0], ports[2]), (ports[2], ports[0])):
        mine, token = ask(port)
        assert ask_again(other, token) == {(mine, "")}

    former = key.read_text()
    key.write_text("fedcba9876543210" * 4 + f"\n{former}")
    last.reload()
    last.wait_for("reloaded: ")
    seen: set[tuple[str, str]] = set()

    def is_replaced() -> bool:
        seen.clear()
        seen.update(ask_again(ports[2], token, 1))
        return seen != {(mine, "")}

    eventually(is_replaced, "a cookie of the former key is replaced")
    [(again, renewed)] = seen
    assert again == mine
    assert ask_again(ports[2], renewed) == {(mine, "")}

    def served(port: int) -> list[str]:
        tenants = [{"X-Tenant": f"tenant-{number}"} for number in range(24)]
        return [ask(port, **each)[0] for each in tenants]

    before = served(ports[1])
    assert set(before) == {each.name for each in stage.servers[:3]}
    assert served(ports[3]) == before == served(ports[1])
