"""An option as its users see it."""

import pytest

from lbconsul.config.options import OPTIONS
from lbconsul.usage.argument import Argument, of_option


@pytest.mark.parametrize("name", OPTIONS)
def test_choices(name: str) -> None:
    """What a completion offers is something that the option takes."""
    argument = of_option(name)
    for each in argument.choices:
        OPTIONS[name].parse(each)
    assert argument.takes
    assert argument.help == OPTIONS[name].help


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("policy", "hash|leastconn|p2c|random|roundrobin|MODULE:NAME"),
        ("mode", "http|sni|tcp"),
        ("verify", "on|off"),
        ("connect-timeout", "TIME"),
        ("attempts", "NUMBER"),
        ("allow", "NETWORKS"),
        ("namespace", "NAME"),
        ("ca-file", "FILE"),
        ("state-dir", "FOLDER"),
        ("strip-prefix", "VALUE"),
    ],
)
def test_takes(name: str, takes: str) -> None:
    """The value's name says what it is."""
    assert of_option(name).takes == takes


def test_names() -> None:
    """An option is written with its dashes, and in the environment with its prefix."""
    argument = Argument("log-file", "", "FILE", short="l", alias="logfile")
    assert argument.flags == ("-l", "--log-file")
    assert argument.all_flags == ("-l", "--log-file", "--logfile")
    assert argument.variable == "LBCONSUL_LOG_FILE"
    assert Argument("help", "", has_variable=False).variable == ""
    assert of_option("set-header").repeats
    assert of_option("tls").is_path
