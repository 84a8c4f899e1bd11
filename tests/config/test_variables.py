"""The options in the environment, as containers give them."""

import pytest

from lbconsul.config.build import build
from lbconsul.config.model import Config
from lbconsul.config.options import OPTIONS
from lbconsul.config.sources import (
    Source,
    SourcedText,
    from_command_line,
    from_environment,
    from_toml,
)
from lbconsul.config.variables import OTHERS, from_variables, variable
from lbconsul.errors import ConfigError


def _config(
    variables: dict[str, str], *mappings: str, toml: str = "", **options: str
) -> Config:
    said = {name.replace("_", "-"): text for name, text in options.items()}
    environ = {f"LBCONSUL_{name}": text for name, text in variables.items()}
    return build(
        from_environment(environ),
        from_toml(toml, "lb.toml"),
        from_variables(environ).source,
        from_command_line(said, (), mappings),
    )


def _mappings(config: Config) -> list[str]:
    return [str(each) for each in config.mappings]


def _source(**variables: str) -> Source:
    environ = {f"LBCONSUL_{name}": text for name, text in variables.items()}
    return from_variables(environ).source


def test_each_option() -> None:
    """Each option has a variable, named as it is."""
    assert variable("connect-timeout") == "LBCONSUL_CONNECT_TIMEOUT"
    found = from_variables({variable(each): "x" for each in OPTIONS}).source
    assert found.options == {each: SourcedText(variable(each), "x") for each in OPTIONS}
    assert len({variable(each) for each in (*OPTIONS, *OTHERS)}) == len(OPTIONS) + len(
        OTHERS
    )


def test_nothing_said() -> None:
    """Empty variables, as compose files leave them, count as unset."""
    empty = {variable(each): "" for each in (*OPTIONS, *OTHERS)}
    assert from_variables(empty) == from_variables({"PATH": "/bin"})
    assert from_variables({}).source == Source()


def test_a_container() -> None:
    """A container needs no command line at all."""
    config = _config(
        {
            "CONSUL": "10.0.0.1:8500 10.0.0.2:8500,10.0.0.3",
            "MAP": "80:web,tag=v2 [::]:81:graphite\nunix:/run/a.sock:a",
            "CONNECT_TIMEOUT": "1s",
            "ADMIN_TOKEN": "s3cret",
        }
    )
    assert [each.host for each in config.consul.addresses] == [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    ]
    assert config.consul.addresses[2].port == 8500
    assert _mappings(config) == [
        "80:web",
        "[::]:81:graphite",
        "unix:/run/a.sock:a",
    ]
    assert {each.timeouts.connect for each in config.mappings} == {1.0}
    assert config.admin_token == "s3cret"
    assert "s3cret" not in repr(config)


def test_blanks_in_mappings() -> None:
    """A blank within a mapping stays; one before the next mapping ends it."""
    source = _source(
        MAP="80:web,mode=http,set-header=X-A: 1 b 81:api systemd:c:c 127.0.0.1:82:d",
        ROUTE=" 80:a.example.com=a \n\n 80:b.example.com=b 80:/c=c\n",
    )
    assert [each.said.text for each in source.mappings] == [
        "80:web,mode=http,set-header=X-A: 1 b",
        "81:api",
        "systemd:c:c",
        "127.0.0.1:82:d",
    ]
    assert [each.pattern for each in source.routes] == [
        "a.example.com",
        "b.example.com",
        "/c",
    ]


def test_an_option_that_is_repeated() -> None:
    """An option that may be given several times has a line for each."""
    config = _config(
        {"SET_HEADER": "X-A: 1\n X-B: 2, 3\n", "MODE": "http", "MAP": "80:web"}
    )
    headers = [str(each) for each in config.mappings[0].rewriting.set_header]
    assert headers == ["X-A: 1", "X-B: 2, 3"]


def test_precedence() -> None:
    """The command line wins over the environment, and that over the file."""
    toml = "tag = 'f'\npolicy = 'p2c'\nattempts = 5\nconsul = 'file'"
    config = _config(
        {"TAG": "e", "POLICY": "random", "CONSUL": "env"},
        *("80:web",),
        toml=toml,
        tag="line",
    )
    [mapping] = config.mappings
    assert (mapping.tag, mapping.policy, mapping.attempts) == ("line", "random", 5)
    assert [each.host for each in config.consul.addresses] == ["env"]


def test_mappings_of_all_sources() -> None:
    """Mappings of all sources are served, at one address that of the strongest."""
    config = _config(
        {"MAP": "81:env 82:env", "MODE": "http", "ROUTE": "81:a=a 82:a=a 80:b=b"},
        "82:line",
        toml="map = ['80:file', '81:file']\nroute = ['80:a=a', '81:b=b']",
    )
    assert _mappings(config) == [
        "80:file",
        "81:env",
        "82:line",
    ]
    assert [[each.route for each in one.routes] for one in config.mappings] == [
        ["a", "b"],
        ["a"],
        [],
    ]


def test_tokens() -> None:
    """A token of a stronger source hides the file of a weaker one."""
    toml = "token-file = '/t'\nadmin-token-file = '/a'\nmap = ['80:web']"
    config = _config({"TOKEN": "t", "ADMIN_TOKEN": "a"}, toml=toml)
    assert (config.consul.token, config.consul.token_file) == ("t", "")
    assert (config.admin_token, config.admin_token_file) == ("a", "")
    wrong = "^LBCONSUL_ADMIN_TOKEN_FILE: give a token or a token file, not both$"
    with pytest.raises(ConfigError, match=wrong):
        _config({"ADMIN_TOKEN": "a", "ADMIN_TOKEN_FILE": "/a"}, "80:web")
    config = _config({"ADMIN_READ_TOKEN": "look"}, "80:web")
    assert config.admin_read_token == "look"
    assert "look" not in repr(config)


def test_about_the_sources() -> None:
    """The file's path and --dev can be given so, too."""
    found = from_variables({"LBCONSUL_CONFIG": "/lb.toml", "LBCONSUL_DEV": "on"})
    assert found.config == SourcedText("LBCONSUL_CONFIG", "/lb.toml")
    assert found.dev is True
    assert from_variables({"LBCONSUL_DEV": "off"}).dev is False


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        (
            {"CONNECT_TIMEOUT": "5"},
            "LBCONSUL_CONNECT_TIMEOUT 5: must be a number with a unit, such as 500ms,"
            " 5s",
        ),
        ({"MAP": "80x:web"}, "LBCONSUL_MAP 80x:web: port '80x' must be a number"),
        ({"MAP": "rubbish"}, "LBCONSUL_MAP rubbish: must be [ADDRESS:]PORT:SERVICE"),
        ({"ROUTE": "80:a"}, "LBCONSUL_ROUTE 80:a: must be LISTEN:PATTERN=SERVICE"),
        ({"CONSUL": "a b:x"}, "LBCONSUL_CONSUL b:x: the port must be a number"),
        ({"DEV": "yess"}, "LBCONSUL_DEV yess: must be on or off"),
        ({"ADMIN_TOKEN": "a\0b"}, "LBCONSUL_ADMIN_TOKEN (hidden): must not be empty"),
        (
            {"POLCY": "p2c"},
            "unknown variable LBCONSUL_POLCY; did you mean LBCONSUL_POL",
        ),
        ({"EJECT_EARLY": "on"}, "LBCONSUL_EJECT_EARLY is called LBCONSUL_EJECT_ON_EA"),
    ],
)
def test_mistakes(variables: dict[str, str], error: str) -> None:
    """An error names the variable, and the token never."""
    with pytest.raises(ConfigError) as raised:
        _config(variables, "81:web")
    assert str(raised.value).startswith(error)


def test_variables_of_others() -> None:
    """What Kubernetes, Docker and images set for a service called lbconsul is no
    mistake.
    """
    names = (
        "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR", "PORT_80_TCP_PROTO", "NAME",
        "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "ENV_TAGS", "VERSION",
        "IMAGE", "HOME", "REPLICAS", "ADMIN_CA", "ADMIN_CERT",
    )  # fmt: skip
    assert _source(**dict.fromkeys(names, "tcp://10.0.0.1:80")) == Source()
