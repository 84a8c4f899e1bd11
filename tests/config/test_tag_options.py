"""Values of the options about tags."""

import pytest

from lbconsul.config.tag_options import key, ports, prefix


def test_ports() -> None:
    """One port, a range of them, or none."""
    assert ports("3000-3999") == (3000, 3999)
    assert ports("3306") == (3306, 3306)
    assert ports("off") == ()


@pytest.mark.parametrize("text", ["", "0", "5-4", "1-5000", "70000", "a-b", "3-"])
def test_no_ports(text: str) -> None:
    """What is no range, or too large, is refused."""
    with pytest.raises(ValueError, match="must be a port or a range of at most 4096"):
        ports(text)


def test_prefix() -> None:
    """It is a text without blanks around it."""
    assert prefix("urlprefix-") == "urlprefix-"
    for wrong in ("", " a", "a" * 65, "\n"):
        with pytest.raises(ValueError, match="1 to 64 printable characters"):
            prefix(wrong)


def test_key() -> None:
    """A key of Consul's, without the slashes that fabio writes around it."""
    assert key("/fabio/config/") == "fabio/config"
    assert key("off") == ""
    for wrong in ("/", "a" * 256):
        with pytest.raises(ValueError, match="must be a key in Consul"):
            key(wrong)
