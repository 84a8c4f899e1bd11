"""What wrk is told to send."""

import re

from bench import browser


def test_nine_fields_with_the_host() -> None:
    """As many as a browser sends; one can have another value."""
    told = browser.arguments(Connection="close")
    assert told.count("-H") == 8
    assert "Connection: close" in told
    assert not any(each.startswith("Host") for each in told)


def test_varying_requests() -> None:
    """Target and Cookie are computed anew, all other fields stay as they are."""
    names = re.findall(r'"([A-Z][\w-]+): "', browser.VARYING)
    assert names[0] == "Host"
    assert len(names) == 9
    assert '"/small?page=" .. n' in browser.VARYING
    assert '"Cookie: " .. string.format(' in browser.VARYING


def test_the_cookie_of_an_answer() -> None:
    """It is sent behind the browser's own, once there is one."""
    names = re.findall(r'"([A-Z][\w-]+): "', browser.STICKY)
    assert len(names) == 9
    assert 'theme=dark" .. cookie .. ' in browser.STICKY


def test_hosts() -> None:
    """The hosts that are asked are those that have routes."""
    assert browser.host(7) == "host-7.example"
    script = browser.over_hosts(1000)
    assert "n = math.random(1000) - 1" in script
    assert '"Host: " .. "host-" .. n .. ".example"' in script
