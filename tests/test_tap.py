"""What twistd makes of the command line, and every mistake in one line."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from twisted.application.service import IService
from zope.interface.verify import verifyObject

from lbconsul import tap
from lbconsul.config.model import Config
from lbconsul.process.privileges import User
from lbconsul.service import Gateway
from lbconsul.takeover import client
from lbconsul.takeover.protocol import write_offer, write_refusal
from lbconsul.takeover.rendezvous import listen_at
from lbconsul.tap import Options, makeService
from tests.support.certificates import Authority, together
from tests.support.descriptors import descriptors
from tests.support.loopback import listening
from tests.support.old_gateway import OldGateway, says
from tests.support.ports import free_ports

TOKEN = "s3cr3t-t0ken"

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("without_environment")


def _config(*words: str) -> Config:
    options = Options()
    options.parseOptions(list(words))
    return options.config


class TestCheck:
    """What is said of a configuration."""

    def test_check(self, tmp_path: Path, capsys: Capture) -> None:
        """--check says what a sound configuration comes to, and binds no port."""
        token = tmp_path / "token"
        token.write_text(TOKEN)
        with socket.create_server(("127.0.0.1", 0)) as taken, closing(taken):
            port = taken.getsockname()[1]
            with pytest.raises(SystemExit) as exited:
                _config("--check", f"--token-file={token}", f"{port}:web", "[::]:81:gr")
        said = capsys.readouterr()
        assert exited.value.code == 0
        assert said.out.splitlines()[0].startswith(
            "lbconsul: the configuration is valid"
        )
        assert said.out.splitlines()[1:] == [f"  {port}:web", "  [::]:81:gr"]
        assert said.err == ""

    def test_routes(self, capsys: Capture) -> None:
        """--check names each route behind its mapping."""
        with pytest.raises(SystemExit) as exited:
            _config("--check", "--route=443:a.com=a", "80:web", "443:-,mode=sni")
        assert exited.value.code == 0
        names = ["  80:web", "  443:-", "  443:a.com=a"]
        assert capsys.readouterr().out.splitlines()[1:] == names

    def test_certificates(self, tmp_path: Path, capsys: Capture) -> None:
        """--check has a line for each certificate that is wrong, or may be soon."""
        authority = Authority(tmp_path)
        (tmp_path / "certs").mkdir()
        for name, end in (("good", 90), ("old", -1)):
            issued = authority.issue(
                name, begin=timedelta(days=-2), end=timedelta(days=end)
            )
            together(tmp_path / "certs" / f"{name}.pem", issued.cert, issued.key)
        with pytest.raises(SystemExit) as exited:
            _config("--check", f"443:web,tls={tmp_path}/certs")
        assert exited.value.code == 1
        first, *others = capsys.readouterr().err.splitlines()
        begin = f"lbconsul: 443:web: {tmp_path}/certs/old.pem: the"
        assert first.startswith(f"{begin} certificate expired on 20")
        assert [each[: len(begin)] for each in others] == [begin]  # and its chain
        with pytest.raises(SystemExit) as exited:
            _config("--check", f"443:web,tls={tmp_path}/certs/good.pem")
        assert exited.value.code == 0
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("lbconsul: warning: 443:web: ")
        assert "good.pem: the chain is missing" in line


#: What is given, and what the line about it says.  In braces: files of `files`.
BAD = {
    "unknown option": (
        "--polcy p2c 80:web",
        "unknown option '--polcy'; did you mean '--policy'?",
    ),
    "the beginning of an option": (
        "--worker 2 80:web",
        "unknown option '--worker'; did you mean '--workers'?",
    ),
    "the beginning of an option, with its value": (
        "--dev --connect-time=1s 80:web",
        "unknown option '--connect-time'; did you mean '--connect-timeout'?",
    ),
    "option without its value": ("--map", "option --map requires argument"),
    "option behind a mapping": (
        "consul 80:web --policy=p2c",
        "--policy=p2c: options come before consul",
    ),
    "the beginning of several options": (
        "--client x 80:web",
        "unknown option '--client'; did you mean '--client-ca'?",
    ),
    "unknown mapping option": (
        "--map 80:web,polcy=p2c",
        "--map 80:web,polcy=p2c: unknown option 'polcy'; did you mean 'policy'?",
    ),
    "port out of range": (
        "--map 65536:web",
        "--map 65536:web: port '65536' must be a number from 1 to 65535",
    ),
    "port twice": (
        "80:web 127.0.0.1:80:gr",
        "--map 127.0.0.1:80:gr: 0.0.0.0:80 is taken by --map 80:web",
    ),
    "Consul's address": (
        "--consul consul:http 80:web",
        "--consul consul:http: the port must be a number from 1 to 65535",
    ),
    "Consul's address in the seed's form": (
        "ftp://consul 80:web",
        "--consul ftp://consul: must be host:port or a URL such as https://consul:8501",
    ),
    "not TOML": (
        "--config {broken}",
        "{broken}: not TOML: Invalid value (at line 3, column 10)",
    ),
    "unknown TOML key": (
        "--config {unknown_key}",
        "{unknown_key}: unknown option 'polcy'; did you mean 'policy'?",
    ),
    "no configuration file": (
        "--config {none}",
        "--config {none}: cannot be read: No such file or directory",
    ),
    "a directory for a configuration file": (
        "--config {folder}",
        "--config {folder}: cannot be read: Is a directory",
    ),
    "configuration file in no text": (
        "--config {binary}",
        "--config {binary}: is not UTF-8 text",
    ),
    "no token file": (
        "--token-file {none} 80:web",
        "--token-file {none}: cannot be read: No such file or directory",
    ),
    "unreadable token file": (
        "--token-file {folder} 80:web",
        "--token-file {folder}: cannot be read: Is a directory",
    ),
    "token file in no text": (
        "--token-file {binary} 80:web",
        "--token-file {binary}: cannot be read: not text",
    ),
    "no CA file": (
        "--ca-file {none} 80:web",
        "--ca-file {none}: cannot be read: No such file or directory",
    ),
    "no token file of a configuration file": (
        "--config {names_none} 80:web",
        "{names_none}: token-file {none}: cannot be read: No such file or directory",
    ),
    "CA file without PEM": (
        "--ca-file {broken} 80:web",
        "--ca-file {broken}: holds no PEM certificate",
    ),
    "client certificate without PEM": (
        "--client-cert {broken} 80:web",
        "--client-cert {broken}: holds no PEM certificate",
    ),
    "client key without PEM": (
        "--client-cert {cert} --client-key {broken} 80:web",
        "--client-key {broken}: holds no PEM private key",
    ),
    "a stranger's client key": (
        "--client-cert {cert} --client-key {stranger} 80:web",
        "--client-key {stranger}: the private key does not fit the certificate"
        " (CN=lbconsul)",
    ),
    "client key alone": (
        "--client-key {stranger} 80:web",
        "--client-key needs --client-cert",
    ),
    "no file of upstreams' authorities": (
        "80:web,upstream-tls=on,upstream-ca={none}",
        "80:web: upstream-ca {none}: cannot be read: No such file or directory",
    ),
    "a certificate for upstreams without PEM": (
        "80:web,upstream-tls=on,upstream-cert={broken}",
        "80:web: upstream-cert {broken}: holds no PEM certificate",
    ),
    "a stranger's key for upstreams": (
        "80:web,upstream-tls=on,upstream-cert={cert},upstream-key={stranger}",
        "80:web: upstream-key {stranger}: the private key does not fit the certificate"
        " (CN=lbconsul)",
    ),
    "unknown policy": (
        "--policy fastest 80:web",
        "80:web: policy=fastest: no installed package has an entry point of this name"
        " in the group lbconsul.policies; built in are hash, leastconn, p2c, random,"
        " roundrobin",
    ),
    "misspelt policy": (
        "80:web,policy=leastcon",
        "80:web: policy=leastcon: unknown; did you mean leastconn?",
    ),
    "no such module": (
        "80:web,policy=own_nowhere:Own",
        "80:web: policy=own_nowhere:Own: there is no module own_nowhere: modules are"
        " looked for among installed packages and in PYTHONPATH, not in the working"
        " directory",
    ),
    "duration without unit": (
        "80:web,idle-timeout=5",
        "--map 80:web,idle-timeout=5: idle-timeout=5: must be a number with a unit,"
        " such as 500ms, 5s, 2m, 1h or 7d",
    ),
    "nothing to balance": (
        "--consul consul:8500",
        "--consul consul:8500: taken as Consul's address, so there is nothing to"
        " balance: give --map PORT:SERVICE, such as --map 80:webserver",
    ),
    "a mistyped mapping": (
        "80;web",
        "--consul 80;web: taken as Consul's address, so there is nothing to balance:"
        " give --map PORT:SERVICE, such as --map 80:webserver",
    ),
    "a UNIX socket's path from nowhere": (
        "unix:web.sock:web",
        "--map unix:web.sock:web: a UNIX socket's path must begin with / and be"
        " printable",
    ),
    "nothing at all": (
        "",
        "nothing to balance: give --map PORT:SERVICE, such as --map 80:webserver",
    ),
    "rubbish": (
        "consul rubbish",
        "--map rubbish: must be [ADDRESS:]PORT:SERVICE[,option=value...]",
    ),
    "rubbish beside Consul": (
        "--consul consul 80:web rubbish",
        "--map rubbish: must be [ADDRESS:]PORT:SERVICE[,option=value...]",
    ),
    "token and token file": (
        f"--token {TOKEN} --token-file {{none}} 80:web",
        "--token-file: give a token or a token file, not both",
    ),
    "an unfit token": (
        f"--token {TOKEN}\x07 80:web",
        "--token (hidden): must not be empty or hold control characters",
    ),
    "a token in the wrong place": (
        "--config {token_table}",
        "{token_table}: token: must be a string, a whole number or a boolean",
    ),
    "several lines in a word": (
        "80:web,tag=a\nb\x1b[2J",
        "--map 80:web,tag=a?b?[2J: tag=a?b?[2J: must not be empty or hold control"
        " characters",
    ),
    "failback-after": (
        "--failback-after soon 80:web",
        "--failback-after soon: must be a number with a unit, such as 500ms, 5s, 2m,"
        " 1h or 7d",
    ),
    "dc": (
        "80:web,dc=dc1|",
        "--map 80:web,dc=dc1|: dc=dc1|: must be a datacenter's name, or several as"
        " dc1|dc2",
    ),
    "a datacenter twice": (
        "--dc dc1|dc1 80:web",
        "--dc dc1|dc1: must name each datacenter once",
    ),
    "shrink-guard": (
        "--shrink-guard 100% 80:web",
        "--shrink-guard 100%: must be off, or a share from 1% to 99%",
    ),
    "shrink-hold": (
        "--shrink-hold off 80:web",
        "--shrink-hold off: must be a number with a unit, such as 500ms, 5s, 2m, 1h"
        " or 7d",
    ),
    "when-empty": (
        "80:web,when-empty=wait",
        "--map 80:web,when-empty=wait: when-empty=wait: must be close, wait=5s,"
        " fallback=SERVICE or fallback=HOST:PORT",
    ),
    "a fallback that is the mapping's own": (
        "80:web,when-empty=fallback=web",
        "--map 80:web,when-empty=fallback=web: when-empty=fallback=web: leads back to"
        " this mapping; name another service or address",
    ),
    "slow-start": (
        "--slow-start on 80:web",
        "--slow-start on: must be a number with a unit, such as 500ms, 5s, 2m, 1h or"
        " 7d, or off",
    ),
    "max-connections-per-upstream": (
        "--max-connections-per-upstream few 80:web",
        "--max-connections-per-upstream few: must be a whole number from 0 to"
        " 999999999",
    ),
    "queue-length": (
        "--queue-length 2000000 80:web",
        "--queue-length 2000000: must be a whole number from 0 to 1000000",
    ),
    "queue-timeout": (
        "--queue-timeout 5 80:web",
        "--queue-timeout 5: must be a number with a unit, such as 500ms, 5s, 2m, 1h"
        " or 7d",
    ),
    "drain-timeout": (
        "--drain-timeout 0s 80:web",
        "--drain-timeout 0s: must be longer than 0",
    ),
    "close-on-critical": (
        "--close-on-critical maybe 80:web",
        "--close-on-critical maybe: must be on or off",
    ),
    "max-age": (
        "--max-age 1w 80:web",
        "--max-age 1w: must be a number with a unit, such as 500ms, 5s, 2m, 1h or"
        " 7d, or off",
    ),
    "rebalance": (
        "--rebalance 5% 80:web",
        "--rebalance 5%: must be off, or a share from 1%/min to 99%/min",
    ),
    "max-connections-per-client": (
        "--max-connections-per-client -1 80:web",
        "--max-connections-per-client -1: must be a whole number from 0 to 999999999",
    ),
    "allow": (
        "80:web,allow=10.0.0.0/8,10.0.0.1/8",
        "--map 80:web,allow=10.0.0.0/8,10.0.0.1/8: allow=10.0.0.0/8,10.0.0.1/8:"
        " '10.0.0.1/8' must be a network, such as 10.0.0.0/8, 192.0.2.1 or"
        " 2001:db8::/32, with no bit set behind its prefix",
    ),
    "deny": (
        "--deny localhost 80:web",
        "--deny localhost: 'localhost' must be a network, such as 10.0.0.0/8,"
        " 192.0.2.1 or 2001:db8::/32, with no bit set behind its prefix",
    ),
    "nobody left to serve": (
        "80:web,allow=10.0.0.0/8,deny=0.0.0.0/0",
        "--map 80:web,allow=10.0.0.0/8,deny=0.0.0.0/0: deny covers all of allow, so no"
        " client could connect; drop deny: allow alone keeps all others out",
    ),
    "addresses of a UNIX socket": (
        "unix:/run/web:web,allow=::1",
        "--map unix:/run/web:web,allow=::1: allow=::1: clients of a UNIX socket have"
        " no address; use unix-mode= instead",
    ),
    "a route of no mapping": (
        "--route 443:a.com=a 80:web",
        "--route 443:a.com=a: no mapping listens on 0.0.0.0:443; the mappings are"
        " 80:web",
    ),
    "a route without names": (
        "--route 80:a.com=a 80:web",
        "--route 80:a.com=a: 80:web needs mode=sni, or tls=, to route by server name,"
        " or mode=http to route requests",
    ),
    "a route for an address": (
        "--route 443:192.0.2.1=a 443:-,mode=sni",
        "--route 443:192.0.2.1=a: '192.0.2.1' is an IP address, for which TLS clients"
        " send no server name",
    ),
    "an option of the address": (
        "--route 443:a.com=a,max-connections=5 443:-,mode=sni",
        "--route 443:a.com=a,max-connections=5: max-connections=5: is for all clients"
        " of 0.0.0.0:443; give it to the mapping",
    ),
    "consul-ui": (
        "--consul-ui javascript:alert(1) 80:web",
        "--consul-ui javascript:alert(1): must be a URL such as"
        " https://consul.example.com/ui, or off",
    ),
    "shutdown-grace": (
        "--shutdown-grace long 80:web",
        "--shutdown-grace long: must be a number with a unit, such as 500ms, 5s, 2m,"
        " 1h or 7d, or off",
    ),
    "takeover": (
        "--takeover lb.sock 80:web",
        "--takeover lb.sock: must be a path that begins with / and is printable",
    ),
    "dev elsewhere": (
        "--dev consul:8500 80:web",
        "--consul consul:8500: with --dev this must be a loopback address, such as"
        " 127.0.0.1",
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files that are named in braces."""
    folder = tmp_path_factory.mktemp("files")
    contents = {
        "broken": b"# mappings\nconsul = 'c'\npolicy = random\n",
        "unknown_key": b"map = ['80:web']\npolcy = 'p2c'\n",
        "token_table": f"map = ['80:web']\ntoken = {{x = '{TOKEN}'}}\n".encode(),
        "binary": b"\xff\xfe\x00",
        "names_none": f"token-file = '{folder / 'none'}'\n".encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    authority = Authority(folder)
    paths = {name: str(folder / name) for name in (*contents, "none")}
    return paths | {
        "folder": str(folder),
        "cert": authority.issue("lbconsul").cert,
        "stranger": authority.issue("stranger").key,
    }


def _fails_in_one_line(capsys: Capture, run: Callable[[], object]) -> str:
    with pytest.raises(SystemExit) as exited:
        run()
    said = capsys.readouterr()
    assert exited.value.code == 1
    shown = exited.value.__context__  # by Python, unless that is suppressed
    assert shown is None or exited.value.__suppress_context__
    assert said.out == ""
    assert TOKEN not in said.err
    [line] = said.err.splitlines()
    return line


@pytest.mark.parametrize(("said", "why"), BAD.values(), ids=BAD)
def test_mistakes(said: str, why: str, files: dict[str, str], capsys: Capture) -> None:
    """Whatever is wrong is one line on standard error that says where and why and
    what would be right, and exit status 1.
    """
    words = ["--check", *said.format(**files).split(" ")] if said else ["--check"]
    line = _fails_in_one_line(capsys, lambda: _config(*words))
    assert line == f"lbconsul: {why.format(**files)}"


class TestMakeService:
    """What twistd calls."""

    @pytest.fixture
    def made(self) -> Iterator[Callable[..., Gateway]]:
        """Makes gateways, and closes what they listen on."""
        gateways: list[Gateway] = []
        before = signal.getsignal(signal.SIGHUP)

        def make(*words: str) -> Gateway:
            options = Options()
            options.parseOptions(list(words))
            gateways.append(makeService(options))
            return gateways[-1]

        yield make
        signal.signal(signal.SIGHUP, before)
        for gateway in gateways:
            gateway.close()

    def test_listens(self, made: Callable[..., Gateway], tmp_path: Path) -> None:
        """The gateway's sockets are there before it starts."""
        path = tmp_path / "web.sock"
        gateway = made(f"unix:{path}:web,unix-mode=600")
        assert verifyObject(IService, gateway)
        assert path.is_socket()
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(gateway.sockets) == [f"unix:{path}"]

    def test_no_room_for_workers(
        self,
        made: Callable[..., Gateway],
        monkeypatch: pytest.MonkeyPatch,
        capsys: Capture,
    ) -> None:
        """Where workers cannot be had it says so in one line and does not start."""

        def fail(name: str, flags: int) -> int:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(os, "memfd_create", fail, raising=False)
        line = _fails_in_one_line(capsys, lambda: made("--workers=2", "8080:web"))
        assert line == (
            "lbconsul: --workers 2: cannot create the workers' shared table: Too many"
            " open files"
        )

    @pytest.mark.parametrize("option", ["--token-file", "--ca-file"])
    def test_a_file_that_is_not_there(
        self, made: Callable[..., Gateway], tmp_path: Path, capsys: Capture, option: str
    ) -> None:
        """Without a file that it needs, it says so in one line and does not start."""
        none, path = tmp_path / "none", tmp_path / "web.sock"
        line = _fails_in_one_line(
            capsys, lambda: made(option, str(none), f"unix:{path}:web")
        )
        assert line == (
            f"lbconsul: {option} {none}: cannot be read: No such file or directory"
        )
        assert not path.exists()

    def test_a_port_that_is_taken(
        self, made: Callable[..., Gateway], tmp_path: Path, capsys: Capture
    ) -> None:
        """A port that is taken is one line of error; no other is left open."""
        path = tmp_path / "web.sock"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            here = f"127.0.0.1:{taken.getsockname()[1]}"
            line = _fails_in_one_line(
                capsys, lambda: made(f"unix:{path}:web", f"{here}:gr")
            )
        assert line == (
            f"lbconsul: cannot listen on {here} for --map {here}:gr:"
            " Address already in use"
        )
        assert not path.exists()

    def test_dev_tells_what_to_try(
        self, made: Callable[..., Gateway], capsys: Capture
    ) -> None:
        """--dev shows commands for its own ports, to paste."""
        port, catalog = free_ports(2)
        made("--dev", "--consul", f"127.0.0.1:{catalog}", f"127.0.0.1:{port}:shop")
        said = capsys.readouterr().out
        assert f"curl http://localhost:{port}/" in said
        assert f"http://127.0.0.1:{catalog}/v1/health/service/shop" in said

    def test_dev_without_a_port(
        self, made: Callable[..., Gateway], tmp_path: Path, capsys: Capture
    ) -> None:
        """--dev over a UNIX socket alone has no such commands to show."""
        [catalog] = free_ports(1)
        path = tmp_path / "web.sock"
        made("--dev", "--consul", f"127.0.0.1:{catalog}", f"unix:{path}:web")
        assert "nothing for curl to ask" in capsys.readouterr().out


class TestTakeover:
    """What --takeover does before the start."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        """Where gateways meet."""
        return str(tmp_path / "lb.sock")

    def make(self, path: str, *words: str) -> Gateway:
        """A gateway that would take over."""
        options = Options()
        options.parseOptions(["--takeover", path, *words])
        return makeService(options)

    def test_nobody_there(self, path: str) -> None:
        """Without a running gateway all sockets are its own."""
        gateway = self.make(path, f"unix:{path}.web:web")
        assert [each.is_shared for each in gateway.sockets.values()] == [False]
        gateway.close()
        assert not os.path.exists(path)

    def test_somebody_there(self, path: str) -> None:
        """From a running gateway it has the sockets that both map, and no more."""
        with ExitStack() as held:
            theirs = [held.enter_context(listening()) for _ in range(2)]
            places = ["{}:{}".format(*each.getsockname()) for each in theirs]
            line = write_offer(places)
            held.enter_context(OldGateway(path, says(line, theirs)))
            before = descriptors()
            gateway = self.make(path, f"{places[0]}:web", f"unix:{path}.more:more")
            shared = {where: each.is_shared for where, each in gateway.sockets.items()}
            assert shared == {places[0]: True, f"unix:{path}.more": False}
            sock = gateway.sockets[places[0]].sock
            assert sock is not None
            assert sock.getsockname() == theirs[0].getsockname()
            gateway.close()
            taken = gateway._predecessor
            assert taken is not None
            assert taken.sockets == {}
            taken.close()
        assert descriptors() - before == set()

    def test_cannot_start(self, path: str, capsys: Capture) -> None:
        """A start that fails lets the running gateway know at once."""
        with listening() as theirs, listening() as taken:
            ours, place = (
                "{}:{}".format(*each.getsockname()) for each in (theirs, taken)
            )
            with OldGateway(path, says(write_offer([ours]), [theirs])):
                line = _fails_in_one_line(
                    capsys, lambda: self.make(path, f"{ours}:web", f"{place}:web")
                )
        assert line.endswith(": Address already in use")

    def test_a_refused_takeover(self, path: str, capsys: Capture) -> None:
        """A refusal is one line, and nothing is bound."""
        with OldGateway(path, says(write_refusal("it is Sunday"))):
            line = _fails_in_one_line(capsys, lambda: self.make(path, "8080:web"))
        assert line == (
            f"lbconsul: --takeover {path}: the running gateway refuses: it is Sunday"
        )

    def test_user_to_be(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root takes them also from the user that twistd will switch to."""
        trusted: list[object] = []

        def without_a_predecessor(path: str, *, also: object) -> None:
            trusted.append(also)

        monkeypatch.setattr(client, "take", without_a_predecessor)
        options = Options()
        options.parseOptions(["--takeover", path, f"unix:{path}.web:web"])
        mine = User(os.geteuid(), os.getegid(), ())
        monkeypatch.setattr(tap, "acting_as", lambda user: nullcontext())
        for user in (None, mine):
            monkeypatch.setattr(tap, "user_to_be", lambda parent, user=user: user)
            makeService(options).close()
        assert trusted == [(), (mine.uid,)]

    def test_check_of_no_place(self, tmp_path: Path, capsys: Capture) -> None:
        """--check says that the takeover path is unusable."""
        with pytest.raises(SystemExit) as ended:
            self.make(str(tmp_path / "none" / "x.sock"), "--check", "8080:web")
        assert ended.value.code == 1
        assert f"x.sock: there is no directory {tmp_path}/none\n" in (
            capsys.readouterr().err
        )

    def test_check(self, path: str, capsys: Capture) -> None:
        """--check takes no sockets."""
        with listen_at(path) as sock:
            with pytest.raises(SystemExit) as ended:
                self.make(path, "--check", f"unix:{path}.web:web")
            assert ended.value.code == 0
            with pytest.raises(BlockingIOError):
                sock.accept()
