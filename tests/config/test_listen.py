"""The addresses to listen on, as text."""

import pytest

from lbconsul.config.listen import Listen, SystemdListen, TCPListen, UnixListen


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        (TCPListen("127.0.0.1", 80), "127.0.0.1:80"),
        (TCPListen("::", 81), "[::]:81"),
        (UnixListen("/run/web.sock"), "unix:/run/web.sock"),
        (SystemdListen("web"), "systemd:web"),
    ],
)
def test_listening_addresses(listen: Listen, text: str) -> None:
    """A listening address shows itself as one would write it."""
    assert str(listen) == text
