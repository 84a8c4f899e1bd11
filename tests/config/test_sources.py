"""What the environment, a TOML file and the command line say, and where."""

import pytest

from lbconsul.config.sources import (
    ENVIRONMENT,
    RawMapping,
    SourcedText,
    from_command_line,
    from_environment,
    from_toml,
    read,
)
from lbconsul.errors import ConfigError


def test_a_mistake_is_told_with_its_place() -> None:
    """The error about an unreadable text names its place, the text and the reason."""
    with pytest.raises(ConfigError, match=r"^--attempts x: invalid literal"):
        read(SourcedText("--attempts", "x"), int)


def test_a_mistake_in_a_mapping_is_told_with_the_mapping() -> None:
    """The error about a mapping's option shows the whole mapping first."""
    [mapping] = from_command_line({}, [], ["80:web,attempts=x"]).mappings
    assert str(mapping.wrong("attempts", "no number")) == (
        "--map 80:web,attempts=x: attempts=x: no number"
    )


class TestCommandLine:
    """What twistd's parser found."""

    def test_order_and_texts_are_kept(self) -> None:
        """Options, Consul's addresses and mappings keep their order and texts."""
        source = from_command_line({"tag": "v2"}, ["a:1", "b:2"], ["80:web,policy=p2c"])
        assert source.options == {"tag": SourcedText("--tag", "v2")}
        assert source.consul == (
            SourcedText("--consul", "a:1"),
            SourcedText("--consul", "b:2"),
        )
        assert source.mappings == (
            RawMapping(
                SourcedText("--map", "80:web,policy=p2c"),
                "80",
                "web",
                {"policy": "p2c"},
            ),
        )

    def test_no_mapping(self) -> None:
        """The error about a text that is no mapping names its --map."""
        with pytest.raises(ConfigError, match=r"^--map rubbish: must be \[ADDRESS:\]"):
            from_command_line({}, [], ["rubbish"])


class TestEnvironment:
    """Consul's own variables."""

    def test_nothing_said(self) -> None:
        """Consul is where its own tools look for it."""
        source = from_environment({})
        assert source.options == {}
        assert source.consul == (SourcedText("CONSUL_HTTP_ADDR", "127.0.0.1:8500"),)
        assert source.tls is False

    def test_everything_said(self) -> None:
        """Each of Consul's variables is taken for the option that it means."""
        environ = {name: name.lower() for name in ENVIRONMENT}
        environ["CONSUL_HTTP_SSL_VERIFY"] = "f"
        environ |= {"CONSUL_HTTP_ADDR": "c:1", "CONSUL_HTTP_SSL": "true"}
        source = from_environment(environ)
        assert source.consul == (SourcedText("CONSUL_HTTP_ADDR", "c:1"),)
        assert source.tls is True
        assert source.options == {
            "token": SourcedText("CONSUL_HTTP_TOKEN", "consul_http_token"),
            "token-file": SourcedText(
                "CONSUL_HTTP_TOKEN_FILE", "consul_http_token_file"
            ),
            "http-auth": SourcedText("CONSUL_HTTP_AUTH", "consul_http_auth"),
            "verify": SourcedText("CONSUL_HTTP_SSL_VERIFY", "off"),
            "ca-file": SourcedText("CONSUL_CACERT", "consul_cacert"),
            "ca-path": SourcedText("CONSUL_CAPATH", "consul_capath"),
            "tls-server-name": SourcedText(
                "CONSUL_TLS_SERVER_NAME", "consul_tls_server_name"
            ),
            "client-cert": SourcedText("CONSUL_CLIENT_CERT", "consul_client_cert"),
            "client-key": SourcedText("CONSUL_CLIENT_KEY", "consul_client_key"),
            "namespace": SourcedText("CONSUL_NAMESPACE", "consul_namespace"),
            "partition": SourcedText("CONSUL_PARTITION", "consul_partition"),
        }

    def test_empty_is_not_said(self) -> None:
        """An empty variable, as compose files leave them, counts as unset."""
        empty = dict.fromkeys((*ENVIRONMENT, "CONSUL_HTTP_ADDR", "CONSUL_HTTP_SSL"), "")
        assert from_environment(empty) == from_environment({})

    def test_wrong_switch(self) -> None:
        """The error about a non-boolean lists the values of Consul's tools."""
        for said in ("si", "on", "yes", "TRue", " true"):
            with pytest.raises(ConfigError) as raised:
                from_environment({"CONSUL_HTTP_SSL": said})
            assert str(raised.value) == (
                f"CONSUL_HTTP_SSL {said}: must be one of"
                " 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False"
            )


FILE = """
consul = ["one:8500", "https://two:8501"]
connection-log = false
attempts = 5
health = ["passing", "warning"]
idle-timeout = "10m"
deny = ["10.0.0.0/8", "::1"]
map = ["80:web,tag=v2"]
"""

TABLES = """
consul = "one"

[[map]]
listen = 80
service = "web"
filter = 'Service.Meta.zone == "a"'
node-checks = false

[[map]]
listen = "unix:/run/w.sock"
service = "web"
"""


class TestToml:
    """The TOML file."""

    def test_short(self) -> None:
        """Each value is taken as the text that the command line would have."""
        source = from_toml(FILE, "lb.toml")
        assert source.options == {
            "connection-log": SourcedText("lb.toml: connection-log", "off"),
            "attempts": SourcedText("lb.toml: attempts", "5"),
            "health": SourcedText("lb.toml: health", "passing,warning"),
            "idle-timeout": SourcedText("lb.toml: idle-timeout", "10m"),
            "deny": SourcedText("lb.toml: deny", "10.0.0.0/8,::1"),
        }
        assert [said.text for said in source.consul] == ["one:8500", "https://two:8501"]
        assert source.mappings == (
            RawMapping(
                SourcedText("lb.toml: map 1", "80:web,tag=v2"),
                "80",
                "web",
                {"tag": "v2"},
            ),
        )

    def test_tables(self) -> None:
        """A mapping may be a table; a filter then needs no quoting of ours."""
        source = from_toml(TABLES, "lb.toml")
        assert source.consul == (SourcedText("lb.toml: consul", "one"),)
        assert source.mappings == (
            RawMapping(
                SourcedText("lb.toml: map 1", "80:web"),
                "80",
                "web",
                {"filter": 'Service.Meta.zone == "a"', "node-checks": "off"},
            ),
            RawMapping(
                SourcedText("lb.toml: map 2", "unix:/run/w.sock:web"),
                "unix:/run/w.sock",
                "web",
                {},
            ),
        )

    def test_an_empty_file(self) -> None:
        """An empty file says nothing."""
        source = from_toml("", "lb.toml")
        assert (source.options, source.consul, source.mappings) == ({}, (), ())

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("a = 1\nb =\n", r"^lb.toml: not TOML: Invalid value \(at line 2"),
            ("a = " + "[" * 9999, "^lb.toml: nested too deeply$"),
            ("a = " + "9" * 9999, "^lb.toml: not TOML: .* limit"),
            ("workers = 0x" + "f" * 9999, "^lb.toml: not TOML: .* limit"),
            ("map = [0x" + "f" * 9999 + "]", "^lb.toml: not TOML: .* limit"),
            ("polcy = 'p2c'", "^lb.toml: unknown option 'polcy'; .* 'policy'"),
            ("maps = []", "^lb.toml: unknown option 'maps'; .* 'map'"),
            (
                "map = '80:web'",
                r"^lb.toml: map must be a list .* or \[\[map\]\] tables",
            ),
            ("map = [80]", r"^lb.toml: map 1 80: must be a string or a \[\[map\]\]"),
            ("map = ['80']", "^lb.toml: map 1 80: must be .ADDRESS:.PORT:SERVICE"),
            ("[[map]]\nlisten = 80", "^lb.toml: map 1: service must be given"),
            ("[[map]]", "^lb.toml: map 1: listen and service must be given"),
            ("[[map]]\nlisten=1.5\nservice='w'", "^lb.toml: map 1: listen: must be a"),
            ("[tag]\nx = 1", "^lb.toml: tag: must be a string, a whole number or"),
            ("tag = ['a', 1]", "^lb.toml: tag: must be a string, a whole number or"),
            ("token = ['a']", "^lb.toml: token: must be a string, a whole number or"),
            ("consul = true", "^lb.toml: consul must be a string or a list"),
            ("consul = 1.5", "^lb.toml: consul must be a string or a list of strings$"),
        ],
    )
    def test_mistakes(self, text: str, why: str) -> None:
        """Each error names the file, the place in it and the reason."""
        with pytest.raises(ConfigError, match=why):
            from_toml(text, "lb.toml")

    def test_a_misplaced_token_stays_secret(self) -> None:
        """A token that is not written as a string is not shown in the complaint."""
        with pytest.raises(ConfigError, match=r"^lb.toml: token: must be") as raised:
            from_toml("token = {value = 's3cr3t'}", "lb.toml")
        assert "s3cr3t" not in str(raised.value)


class TestLists:
    """Options that may be given several times."""

    def test_toml(self) -> None:
        """A TOML file has them as arrays, or one alone as a string."""
        source = from_toml(
            "remove-header = 'X-C'\n[[map]]\nlisten = 80\nservice = 'w'\n"
            "set-header = ['X-A: 1', 'X-B: 2']\nremove-header = ['X-D']",
            "lb.toml",
        )
        assert source.options["remove-header"].text == "X-C"
        [mapping] = source.mappings
        assert mapping.options == {
            "set-header": "X-A: 1,set-header=X-B: 2",
            "remove-header": "X-D",
        }

    def test_nothing(self) -> None:
        """An array of nothing is no value."""
        with pytest.raises(ConfigError, match=r"^lb.toml: set-header: must be a"):
            from_toml("set-header = []", "lb.toml")


@pytest.mark.parametrize("name", ["Authorization", "cookie", "X-API-Key"])
def test_secret_fields(name: str) -> None:
    """A secret in a header field is not shown in the error about another option."""
    said = SourcedText("--map", f"80:web,set-header={name}: s3cr3t,tag=")
    assert str(said.wrong("no")) == "--map 80:web,set-header=(hidden),tag=: no"
