"""One configuration from all its sources."""

import pytest
from attrs import evolve

from lbconsul.config.build import build, configure
from lbconsul.config.consul import ConsulAddress, ConsulConfig
from lbconsul.config.listen import TCPListen, UnixListen
from lbconsul.config.model import (
    Admin,
    Config,
    Drain,
    Limits,
    Mapping,
    ShrinkGuard,
    Timeouts,
    WhenEmpty,
)
from lbconsul.config.sources import (
    Source,
    from_command_line,
    from_environment,
    from_toml,
)
from lbconsul.errors import ConfigError


def _build(
    *mappings: str,
    toml: str = "",
    environ: dict[str, str] | None = None,
    consul: tuple[str, ...] = (),
    dev: bool = False,
    **options: str,
) -> Config:
    said = {name.replace("_", "-"): text for name, text in options.items()}
    return build(
        from_environment(environ or {}),
        from_toml(toml, "lb.toml"),
        from_command_line(said, consul, mappings),
        dev=dev,
    )


def _addresses(config: Config) -> list[str]:
    return [str(address) for address in config.consul.addresses]


class TestConfigure:
    """The configuration of an embedded gateway."""

    def test_example(self) -> None:
        """The texts of the command line make a configuration in Python."""
        config = configure(["c:1"], ["8080:web,tag=v2"], connect_timeout="1s")
        assert config == Config(
            ConsulConfig(addresses=(ConsulAddress("http", "c", 1),)),
            (
                Mapping(
                    "web",
                    TCPListen("0.0.0.0", 8080),
                    tag="v2",
                    timeouts=Timeouts(connect=1.0),
                ),
            ),
            admin=Admin(None),
        )

    def test_admin(self) -> None:
        """
        An embedded gateway has an admin listener only if its program asks for one.
        """
        config = configure(mappings=["80:web"], admin="9300")
        assert config.admin == Admin(TCPListen("127.0.0.1", 9300))

    def test_defaults(self) -> None:
        """Without an address Consul is on this machine; no variable is looked at."""
        config = configure(mappings=["80:web"])
        assert config.consul == ConsulConfig()
        assert _addresses(config) == ["http://127.0.0.1:8500"]

    def test_unknown_option(self) -> None:
        """The error about a misspelt option names the likely one."""
        with pytest.raises(
            ConfigError, match="'conect-timeout'; did you mean 'connect-"
        ):
            configure(mappings=["80:web"], conect_timeout="1s")


class TestPrecedence:
    """The command line wins over the file, the file over the environment."""

    def test_options(self) -> None:
        """The source of the highest rank that sets an option counts."""
        environ = {"CONSUL_NAMESPACE": "env", "CONSUL_CACERT": "/env"}
        toml = "namespace = 'file'\ntag = 'file'\npolicy = 'p2c'"
        config = _build("80:web", toml=toml, environ=environ, tag="line")
        assert config.consul.ca_file == "/env"
        assert config.consul.namespace == "file"
        assert config.mappings[0].tag == "line"
        assert config.mappings[0].policy == "p2c"

    def test_consul(self) -> None:
        """Consul's addresses of one source replace all those of weaker ones."""
        environ = {"CONSUL_HTTP_ADDR": "env:1"}
        toml = "consul = ['file1', 'file2']"
        assert _addresses(_build("80:web", environ=environ)) == ["http://env:1"]
        filed = _build("80:web", environ=environ, toml=toml)
        assert _addresses(filed) == ["http://file1:8500", "http://file2:8500"]
        line = _build("80:web", environ=environ, toml=toml, consul=("line",))
        assert _addresses(line) == ["http://line:8500"]

    def test_tls_of_the_environment(self) -> None:
        """CONSUL_HTTP_SSL makes every address HTTPS, wherever it was said, and http."""
        for said in ("c", "http://c"):
            config = _build("80:web", environ={"CONSUL_HTTP_SSL": "T"}, consul=(said,))
            assert _addresses(config) == ["https://c:8501"]

    def test_tls_of_the_environment_and_dev(self) -> None:
        """The catalog of --dev is spoken to as it speaks, whatever a shell has set."""
        environ = {"CONSUL_HTTP_SSL": "true"}
        config = _build("80:web", environ=environ, dev=True)
        assert _addresses(config) == ["http://127.0.0.1:8500"]

    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            ("c", "http://c:80"),
            ("http://c/prefix", "http://c:80/prefix"),
            ("https://c", "https://c:443"),
            ("unix:///run/c", "unix:///run/c"),
        ],
    )
    def test_the_environments_address_without_a_port(
        self, said: str, meant: str
    ) -> None:
        """CONSUL_HTTP_ADDR without a port means the web's, as for Consul's tools."""
        assert _addresses(_build("80:web", environ={"CONSUL_HTTP_ADDR": said})) == [
            meant
        ]

    def test_authorities(self) -> None:
        """A CA directory of a stronger source hides the CA file of a weaker one."""
        environ = {"CONSUL_CACERT": "/env", "CONSUL_CAPATH": "/envs"}
        consul = _build("80:web", environ=environ).consul
        assert (consul.ca_file, consul.ca_path) == ("/env", "/envs")
        consul = _build("80:web", environ=environ, ca_path="/line").consul
        assert (consul.ca_file, consul.ca_path) == ("", "/line")

    def test_any_name(self) -> None:
        """A service may have any name: in quotes, or in a table as it is; it is shown
        as it could be written."""
        toml = """[[map]]\nlisten = 81\nservice = 'a b/c:d'\n"""
        config = _build('80:"a b/c:d",when-empty=fallback="x:80"', toml=toml)
        assert {each.service for each in config.mappings} == {"a b/c:d"}
        assert [str(each) for each in config.mappings] == [
            '81:"a b/c:d"',
            '80:"a b/c:d"',
        ]
        empty = config.mappings[1].when_empty
        assert (empty.fallback, empty.is_address) == ("x:80", False)
        assert str(empty) == 'fallback="x:80"'

    def test_an_option_of_a_mapping_wins(self) -> None:
        """What stands in a mapping wins over the default of all mappings."""
        config = _build("80:web,tag=v2", "81:web", tag="v1", attempts="7")
        assert [each.tag for each in config.mappings] == ["v2", "v1"]
        assert [each.attempts for each in config.mappings] == [7, 7]

    def test_mappings_add_up(self) -> None:
        """Mappings of the file and of the command line are all served."""
        config = _build("81:b", toml="map = ['80:a']")
        assert list(map(str, config.mappings)) == ["80:a", "81:b"]

    def test_a_mapping_replaces_the_files(self) -> None:
        """The command line's mapping takes the place of the file's on its port."""
        config = _build("80:b,tag=x", toml="map = ['80:a', '82:c']")
        assert list(map(str, config.mappings)) == ["82:c", "80:b"]

    def test_connection_log(self) -> None:
        """The line for each connection can be turned off for the whole gateway."""
        assert _build("80:web").connection_log is True
        assert _build("80:web", connection_log="off").connection_log is False

    def test_workers(self) -> None:
        """One process serves unless more are wished for, on the line or in the file."""
        assert _build("80:web").workers == 1
        assert _build("80:web", workers="4").workers == 4
        assert _build("80:web", toml="workers = 3").workers == 3
        assert _build("80:web", toml="workers = 'auto'").workers == 0

    def test_log_format(self) -> None:
        """The log is for people, unless it is wished for as JSON."""
        assert _build("80:web").log_format == "text"
        assert _build("80:web", toml="log-format = 'json'").log_format == "json"

    def test_admin(self) -> None:
        """The admin listener is on loopback, on the given address, or off."""
        config = _build("80:web")
        assert (str(config.admin), config.admin.is_needed) == ("127.0.0.1:9200", False)
        assert (config.admin_token_file, config.admin_open_read) == ("", False)
        config = _build("80:web", toml="admin = 9300\nadmin-open-read = true")
        assert (str(config.admin), config.admin.is_needed) == ("127.0.0.1:9300", True)
        assert config.admin_open_read is True
        config = _build("80:web", admin="unix:/run/a", admin_token_file="/etc/token")
        assert (str(config.admin), config.admin_token_file) == (
            "unix:/run/a",
            "/etc/token",
        )
        for config in (
            _build("80:web", admin="off"),
            _build("80:a", toml="admin = false"),
        ):
            assert (str(config.admin), config.admin.listen) == ("off", None)


FILE = """
allow = ["10.0.0.0/8", "::1"]
deny = "10.1.0.0/16"
close-on-critical = true
max-connections-per-upstream = 100
queue-length = 0
shrink-guard = false
rebalance = "5%/min"
when-empty = "wait=5s"
max-age = 0
takeover = "/run/lbconsul.sock"
shutdown-grace = "3s"

[[map]]
listen = 80
service = "web"
dc = "dc1|dc2"
slow-start = false

[[map]]
listen = "81"
service = "api"
allow = ["192.0.2.0/24"]
when-empty = "fallback=sorry:80"
slow-start = "30s"
"""


class TestFile:
    """A whole file."""

    def test_values(self) -> None:
        """Lists, numbers, booleans and strings become what they mean."""
        config = _build(toml=FILE)
        assert (config.takeover, config.shutdown_grace) == ("/run/lbconsul.sock", 3.0)
        common = Mapping(
            "web",
            TCPListen("0.0.0.0", 80),
            allow=("10.0.0.0/8", "::1/128"),
            deny=("10.1.0.0/16",),
            drain=Drain(close_on_critical=True, rebalance=5),
            limits=Limits(connections_per_upstream=100, queue_length=0),
            shrink_guard=ShrinkGuard(percent=0),
            when_empty=WhenEmpty(wait=5.0),
        )
        assert config.mappings == (
            evolve(common, dc=("dc1", "dc2")),
            evolve(
                common,
                service="api",
                listen=TCPListen("0.0.0.0", 81),
                allow=("192.0.2.0/24",),
                when_empty=WhenEmpty(fallback="sorry:80", is_address=True),
                slow_start=30.0,
            ),
        )

    @pytest.mark.parametrize(
        ("toml", "why"),
        [
            ("slow-start = true", "slow-start on: must be a number .*, or off$"),
            ("slow-start = 5", "slow-start 5: must be a number .*, or off$"),
            ("shrink-guard = 50", "shrink-guard 50: must be off, or a share from 1%"),
            ("close-on-critical = 'si'", "close-on-critical si: must be on or off$"),
            ("allow = []", "allow : '' must be a network, such as"),
            ("deny = ['::1', 5]", "deny ::1,5: '5' must be a network, such as"),
            ("dc = ['a', 'b']", "dc: must be a string, a whole number or a boolean$"),
            ("when-empty = true", "when-empty on: must be close, wait=5s, fallback="),
            ("queue-length = -1", "queue-length -1: must be a whole number from 0 to"),
            ("takeover = 'lb.sock'", "takeover lb.sock: must be a path that begins"),
            ("polcy = 'p2c'", "unknown option 'polcy'; did you mean 'policy'"),
            ("connect_timeout = '1s'", "unknown .*; did you mean 'connect-timeout'"),
            ("[[maps]]\nlisten = '80'", "unknown option 'maps'; did you mean 'map'"),
            ("[polcy]\na = 1", "unknown option 'polcy'; did you mean 'policy'"),
            (
                "[[map]]\nlisten = '80'\nservce = 'web'",
                "map 1: unknown option 'servce'; did you mean 'service'",
            ),
            (
                "[[map]]\nlisten = '80'\nservice = 'web'\n[map.drian-timeout]\na = 1",
                "map 1: unknown option 'drian-timeout'; did you mean 'drain-timeout'",
            ),
            (
                "[[map]]\nlisten = '80'\nservice = 'web'\nworkers = 2",
                "map 1: unknown option 'workers'; known are ",
            ),
        ],
    )
    def test_a_wrong_value(self, toml: str, why: str) -> None:
        """The error about a wrong value names its key and what would be right."""
        with pytest.raises(ConfigError, match=f"^lb.toml: {why}"):
            _build("80:web", toml=toml)


class TestListening:
    """Where a mapping listens."""

    def test_kinds(self) -> None:
        """A mapping's address is of the kind that it is written as."""
        listens = [each.listen for each in _build("80:a", "unix:/s:a").mappings]
        assert listens == [TCPListen("0.0.0.0", 80), UnixListen("/s")]


class TestToken:
    """The token and the file that holds it."""

    def test_both(self) -> None:
        """A token and a token file said in one place contradict each other."""
        with pytest.raises(ConfigError, match=r"^--token-file: give .* not both$"):
            _build("80:web", token="t", token_file="/run/token")
        with pytest.raises(
            ConfigError, match=r"^lb.toml: token-file: give .* not both$"
        ):
            _build("80:web", toml="token = 't'\ntoken-file = '/run/token'")

    def test_both_in_the_environment(self) -> None:
        """There the file counts, and the token while it is empty, as for Consul's."""
        environ = {"CONSUL_HTTP_TOKEN_FILE": "/run/token", "CONSUL_HTTP_TOKEN": "t"}
        consul = _build("80:web", environ=environ).consul
        assert (consul.token, consul.token_file) == ("t", "/run/token")
        consul = _build("80:web", environ=environ, token_file="/line").consul
        assert (consul.token, consul.token_file) == ("", "/line")

    def test_a_stronger_token_hides_a_weaker_file(self) -> None:
        """A token on the command line is used whatever the environment says."""
        environ = {"CONSUL_HTTP_TOKEN_FILE": "/run/token"}
        consul = _build("80:web", environ=environ, token="t").consul
        assert (consul.token, consul.token_file) == ("t", "")

    def test_a_stronger_file_hides_a_weaker_token(self) -> None:
        """A token file on the command line is used whatever the file says."""
        consul = _build("80:web", toml="token = 't'", token_file="/run/token").consul
        assert (consul.token, consul.token_file) == ("", "/run/token")

    def test_an_unfit_token_stays_secret(self) -> None:
        """A token that cannot be one is complained of, but not shown."""
        with pytest.raises(ConfigError, match=r"^--token \(hidden\): must not"):
            _build("80:web", token="s3cr3t\x00")
        with pytest.raises(ConfigError, match=r"^--http-auth \(hidden\): must not"):
            _build("80:web", http_auth="ada:s3cr3t\x00")

    def test_hidden(self) -> None:
        """A configuration that ends up in a log does not give the token away."""
        config = _build("80:web", token="s3cr3t", http_auth="ada:s3cr3t")
        assert "s3cr3t" not in repr(config)


class TestMistakes:
    """Each error names its place and what would be right."""

    def test_nothing_to_balance(self) -> None:
        """Without a mapping there is nothing to do, and an example is given."""
        with pytest.raises(ConfigError, match=r"^nothing to balance: .* --map 80:webs"):
            _build()

    @pytest.mark.parametrize("said", ["web", "80;web", "8O:web", "127.0.0.1:80"])
    def test_a_mistyped_mapping(self, said: str) -> None:
        """A mapping that was taken for Consul's address is named as such."""
        with pytest.raises(ConfigError) as raised:
            _build(consul=(said,))
        assert str(raised.value) == (
            f"--consul {said}: taken as Consul's address, so there is nothing to"
            " balance: give --map PORT:SERVICE, such as --map 80:webserver"
        )

    def test_consul_alone(self) -> None:
        """
        Several addresses of Consul, or one in the file, are not taken for a mistyped
        mapping.
        """
        for said in ({"consul": ("a", "b")}, {"toml": "consul = 'a'"}):
            with pytest.raises(ConfigError, match=r"^nothing to balance: give --map"):
                _build(**said)

    @pytest.mark.parametrize(
        ("mapping", "why"),
        [
            ("80:web,polcy=p2c", "^--map 80:web,polcy=p2c: unknown option .*'policy'"),
            ("80:web,token=t", r"^--map 80:web,\(hidden\): unknown option 'token'"),
            (
                "80:web,policy=a:",
                "^--map 80:web,policy=a:: policy=a:: must be hash, leastconn, ",
            ),
            ("80:web,attempts=0", "attempts=0: must be a whole number from 1 to 100$"),
            ("unix:web.sock:web", "web.sock:web: a UNIX socket's path must begin with"),
            ("0:web", "^--map 0:web: port '0' must be a number from 1 to 65535$"),
            ('80:""', '^--map 80:"": service must have 1 to 255 characters'),
            ('80:"a\nb"', "service must have 1 to 255 characters, all of them print"),
            ('80:w,when-empty=fallback="a', "must end with the quote that closes it$"),
            ("80:", "^--map 80:: service must be a name .*, or in double quotes$"),
            ("myhost:80:web", "^--map myhost:80:web: address 'myhost' must be an IP"),
        ],
    )
    def test_mappings(self, mapping: str, why: str) -> None:
        """The error about a wrong mapping shows the whole mapping, then the mistake."""
        with pytest.raises(ConfigError, match=why):
            _build(mapping)

    def test_options(self) -> None:
        """A wrong default of all mappings is reported as that option."""
        with pytest.raises(
            ConfigError, match=r"^--idle-timeout 5: must be a number wi"
        ):
            _build("80:web", idle_timeout="5")
        with pytest.raises(ConfigError, match=r"^lb.toml: attempts 0: must be"):
            _build("80:web", toml="attempts = 0")
        with pytest.raises(
            ConfigError, match=r"^CONSUL_HTTP_SSL_VERIFY si: must be one"
        ):
            _build("80:web", environ={"CONSUL_HTTP_SSL_VERIFY": "si"})

    def test_consul_address(self) -> None:
        """The error about a wrong address of Consul names its source."""
        with pytest.raises(ConfigError, match=r"^CONSUL_HTTP_ADDR c:x: the port must"):
            _build("80:web", environ={"CONSUL_HTTP_ADDR": "c:x"})

    def test_key_without_certificate(self) -> None:
        """A key without the certificate that it belongs to is of no use."""
        with pytest.raises(ConfigError, match=r"^--client-key needs --client-cert$"):
            _build("80:web", client_key="/k.pem")
        with pytest.raises(ConfigError, match=r"^CONSUL_CLIENT_KEY needs --client-ce"):
            _build("80:web", environ={"CONSUL_CLIENT_KEY": "/k.pem"})

    def test_tls_of_the_admin_listener(self) -> None:
        """It has a certificate, in a file, and an address to which a client can say."""
        with pytest.raises(ConfigError, match=r"^--admin-client-ca needs --admin-tls$"):
            _build("80:web", admin_client_ca="/ca")
        with pytest.raises(ConfigError, match=r"^--admin-tls /c: needs a TCP address"):
            _build("80:web", admin="unix:/run/lb", admin_tls="/c")
        with pytest.raises(ConfigError, match=r"^--admin-tls consul:c: must be a file"):
            _build("80:web", admin_tls="consul:c")

    def test_places(self) -> None:
        """The error about an unreadable file names the option's source."""
        environ = {"CONSUL_CACERT": "/ca", "CONSUL_CLIENT_CERT": "/own"}
        consul = _build("80:web", environ=environ, toml="token-file = '/t'").consul
        assert consul.where("ca-file") == "CONSUL_CACERT"
        assert consul.where("token-file") == "lb.toml: token-file"
        consul = _build("80:web", environ=environ, client_cert="/mine").consul
        assert consul.where("client-cert") == "--client-cert"
        assert ConsulConfig().where("client-cert") == "--client-cert"

    def test_certificate_with_its_key_in_it(self) -> None:
        """A certificate's file may hold its key as well."""
        assert _build("80:web", client_cert="/c.pem").consul.client_key == ""


class TestDev:
    """--dev brings a catalog along, which listens where Consul would."""

    @pytest.mark.parametrize(
        ("said", "address"),
        [
            ((), "http://127.0.0.1:8500"),
            (("127.0.0.2:9500",), "http://127.0.0.2:9500"),
            (("localhost",), "http://localhost:8500"),
            (("[::1]:9500", "127.0.0.1"), "http://[::1]:9500"),
        ],
    )
    def test_loopback(self, said: tuple[str, ...], address: str) -> None:
        """
        The catalog of --dev listens on Consul's first address, which is on this
        machine.
        """
        config = _build("80:web", consul=said, dev=True)
        assert config.dev is True
        assert _addresses(config) == [address]

    @pytest.mark.parametrize(
        "said",
        [
            "consul:8500",
            "127.example.com:8500",
            "0.0.0.0:8500",
            "https://127.0.0.1",
            "unix:///s",
        ],
    )
    def test_elsewhere(self, said: str) -> None:
        """
        The catalog of --dev has no access control, so it listens on loopback only.
        """
        with pytest.raises(
            ConfigError, match=f"^--consul {said}: with --dev this must be a lo"
        ):
            _build("80:web", consul=(said,), dev=True)

    def test_no_secrets(self) -> None:
        """The token that is meant for the real Consul is left out."""
        assert _build("80:web", token="t", dev=True).consul.token == ""

    def test_of_nothing(self) -> None:
        """Sources that name no Consul leave it where it is by default."""
        line = from_command_line({}, [], ["80:web"])
        config = build(Source(), Source(), line, dev=True)
        assert _addresses(config) == ["http://127.0.0.1:8500"]
