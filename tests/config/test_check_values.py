"""The option that says what a check does."""

import pytest

from lbconsul.config.build import configure
from lbconsul.config.check import Probe
from lbconsul.config.check_spec import CheckSpec
from lbconsul.config.check_values import probe
from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError


def mapping(text: str) -> Mapping:
    """The mapping that a text is."""
    (found,) = configure(mappings=[text]).mappings
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tcp", Probe()),
        ("/", Probe("/")),
        ("/a/b?c=d&e", Probe("/a/b?c=d&e")),
        ("/x;status=200", Probe("/x", statuses=((200, 200),))),
        ("/x;status=200-299|401", Probe("/x", statuses=((200, 299), (401, 401)))),
        ("/x;method=HEAD;host=api:81", Probe("/x", "HEAD", host="api:81")),
    ],
)
def test_forms(text: str, found: Probe) -> None:
    """What an option says is what is asked, and it is shown as it was written."""
    assert probe(text) == found
    assert str(found) == text


def test_off() -> None:
    """Off is none."""
    assert probe("off") is None
    assert mapping("80:web").check.probe is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("http", "must be tcp, /PATH or off"),
        ("health", "must be tcp, /PATH or off"),
        ("/a b", "must be tcp, /PATH or off"),
        ("/a#b", "must be tcp, /PATH or off"),
        ("/\u00e9", "must be tcp, /PATH or off"),
        ("/" + "a" * 2000, "must be tcp, /PATH or off"),
        ("/a;expect=200", "must be tcp, /PATH or off"),
        ("/a;status", "must be tcp, /PATH or off"),
        ("/a;status=200;status=201", "status is given twice"),
        ("/a;status=99", "status must be as 200-399"),
        ("/a;status=300-200", "status must be as 200-399"),
        ("/a;status=2xx", "status must be as 200-399"),
        ("/a;status=" + "|".join(["200"] * 21), "at most 20 ranges"),
        ("/a;method=POST", "method must be GET or HEAD"),
        ("/a;host=a b", "host must be a host name"),
        ("/a;host=keep", "host must be a host name"),
    ],
)
def test_errors(text: str, error: str) -> None:
    """An error says what would be right."""
    with pytest.raises(ValueError, match=error):
        probe(text)


def test_what_tells_checks_apart() -> None:
    """All that decides a result does; what follows from it does not."""
    assert CheckSpec.of(mapping("80:web")) is None
    one = CheckSpec.of(mapping("80:web,check=/a"))
    assert one == CheckSpec.of(mapping("81:api,check=/a,check-fail-open=off"))
    assert hash(one) == hash(CheckSpec.of(mapping("81:api,check=/a,check-init=down")))
    for other in (
        "check=/b",
        "check=/a,check-fall=1",
        "check=/a,upstream-tls=on",
        "check=/a,send-proxy=v2",
    ):
        assert CheckSpec.of(mapping(f"80:web,{other}")) != one


def test_options_of_checks_need_a_check() -> None:
    """An option that would do nothing is an error."""
    with pytest.raises(ConfigError, match="check-rise=3: works only with check="):
        mapping("80:web,check-rise=3")
