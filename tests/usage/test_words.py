"""The words of a command line."""

import pytest

from lbconsul.errors import ConfigError
from lbconsul.usage.commands import BY_NAME
from lbconsul.usage.words import Given, parse, parted

WHY, RUN = BY_NAME["why"], BY_NAME["run"]


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        ([], {}, ()),
        (["http://a/"], {}, ("http://a/",)),
        (["--admin", "9200", "u"], {"admin": ["9200"]}, ("u",)),
        (["u", "--admin=9200"], {"admin": ["9200"]}, ("u",)),
        (["-X", "PUT", "-HA: b", "-H", "C: d"], {"method": ["PUT"],
         "header": ["A: b", "C: d"]}, ()),
        (["--token-file", "f"], {"admin-token-file": ["f"]}, ()),
        (["-h"], {"help": [""]}, ()),
        (["--admin=", "-", "--", "--admin"], {"admin": [""]}, ("-", "--admin")),
    ],
)  # fmt: skip
def test_parse(
    words: list[str], options: dict[str, list[str]], rest: tuple[str, ...]
) -> None:
    """Options may stand anywhere, with their value beside them or behind ``=``."""
    assert parse(WHY, words) == Given(options, rest)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--admn", "1"], "unknown option '--admn'; did you mean '--admin'?"),
        (["--admin"], "--admin: needs a value"),
        (["-X"], "-X: needs a value"),
        (["-Y"], "unknown option '-Y'"),
        (["--admin=1", "--admin=2"], "--admin: is given twice"),
        (["--help=yes"], "--help: takes no value"),
        (["-hY"], "unknown option '-Y'"),
    ],
)
def test_mistakes(words: list[str], error: str) -> None:
    """A mistake is one line that names the option."""
    with pytest.raises(ConfigError) as raised:
        parse(WHY, words)
    assert str(raised.value) == error


def test_last() -> None:
    """Of several texts the last one counts; where there is none, the default."""
    given = parse(WHY, ["-H", "a", "-H", "b"])
    assert (given.last("header"), given.last("method", "GET")) == ("b", "GET")
    assert "header" in given
    assert "method" not in given


def test_parted() -> None:
    """The options of twistd are taken out, and all other words stay as they are."""
    words = ["--uid", "www", "-f", "a.toml", "--tag=--uid", "--umask=022", "--syslog"]
    words += ["--map", "80:web", "c:8500", "80:web", "--uid", "other"]
    given, others = parted(RUN, words, {"uid", "umask", "syslog"})
    assert given == Given({"uid": ["www"], "umask": ["022"], "syslog": [""]}, ())
    assert others == [
        "-f", "a.toml", "--tag=--uid", "--map", "80:web", "c:8500", "80:web", "--uid",
        "other",
    ]  # fmt: skip
    given, others = parted(RUN, ["--", "--uid", "x"], {"uid"})
    assert (given, others) == (Given({}, ()), ["--", "--uid", "x"])
