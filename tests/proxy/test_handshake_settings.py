"""Which steps the options of a mapping ask of its clients."""

from typing import Any

import pytest

from lbconsul.config.model import Mapping
from lbconsul.proxy.handshake_settings import HandshakeSettings, HandshakeState, Step
from lbconsul.stats.termination import Termination
from tests.support.mappings import altered


class NoTLS:
    """Is not asked, since no handshake begins."""

    def accept(self, sock: object) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("options", [{}, {"first_byte_timeout": 5.0}])
def test_no_handshake(options: dict[str, Any]) -> None:
    """A mapping whose clients get an upstream at once has no handshake."""
    assert HandshakeSettings.of(altered(Mapping("web"), **options)) is None


@pytest.mark.parametrize(
    ("address", "is_proxy"),
    [
        (("10.0.0.9", 4000), True),
        (("::ffff:10.0.0.9", 4000, 0, 0), True),
        (("2001:db8::9", 4000, 0, 0), True),
        (("192.0.2.1", 4000), False),
        (("?", 0), False),
        ("", True),
    ],
)
def test_accept_proxy(address: object, is_proxy: bool) -> None:
    """Only connections from the networks of accept-proxy, or of a UNIX socket, begin
    with a header.
    """
    networks = ("10.0.0.0/8", "2001:db8::/32")
    settings = HandshakeSettings.of(altered(Mapping("web"), accept_proxy=networks))
    assert settings is not None
    states = [each.state for each in settings.steps_of(address)]
    header = [HandshakeState.PROXY_HEADER] if is_proxy else []
    assert states == [*header, HandshakeState.ADMISSION]


def test_route() -> None:
    """The clients of a route have had the handshake of its mapping."""
    route = altered(Mapping("web", route="a.com"), mode="sni", wait_for_client=True)
    assert HandshakeSettings.of(route) is None


def test_order() -> None:
    """TLS follows access control, and the first byte follows TLS."""
    options = {"accept_proxy": ("0.0.0.0/0",), "wait_for_client": True, "tls": "x.pem"}
    assert [each.state for each in _steps(**options)] == [
        HandshakeState.PROXY_HEADER,
        HandshakeState.ADMISSION,
        HandshakeState.TLS,
        HandshakeState.FIRST_BYTE,
    ]


def test_server_name() -> None:
    """A ClientHello is the first thing that clients say."""
    assert [each.state for each in _steps(mode="sni", wait_for_client=True)] == [
        HandshakeState.ADMISSION,
        HandshakeState.CLIENT_HELLO,
    ]


@pytest.mark.parametrize("options", [{"mode": "sni"}, {"tls": "x.pem"}])
def test_first_byte_before_tls(options: dict[str, Any]) -> None:
    """A client that does not even begin with TLS has first-byte-timeout to do so."""
    _, awaited, *_ = _steps(first_byte_timeout=2.0, **options)
    assert awaited.state is HandshakeState.FIRST_BYTE
    assert (awaited.timeout, awaited.overdue) == (2.0, Termination.FIRST_BYTE_TIMEOUT)
    states = [each.state for each in _steps(**options)]
    assert HandshakeState.FIRST_BYTE not in states


def _steps(**options: Any) -> tuple[Step, ...]:
    """The steps of an IPv4 client of a mapping."""
    mapping = altered(Mapping("web"), **options)
    settings = HandshakeSettings.of(mapping, NoTLS())
    assert settings is not None
    return settings.steps_of(("192.0.2.1", 4000))


@pytest.mark.parametrize(
    ("timeout", "limit", "code"),
    [(0.0, 60.0, Termination.IDLE), (5.0, 5.0, Termination.FIRST_BYTE_TIMEOUT)],
)
def test_wait_for_client(timeout: float, limit: float, code: Termination) -> None:
    """A client is waited for as long as one may be idle, if no other time is said."""
    mapping = altered(
        Mapping("web"),
        wait_for_client=True,
        idle_timeout=60.0,
        first_byte_timeout=timeout,
    )
    settings = HandshakeSettings.of(mapping)
    assert settings is not None
    _, step = settings.steps_of(("192.0.2.1", 4000))
    assert step.state is HandshakeState.FIRST_BYTE
    assert (step.timeout, step.overdue) == (limit, code)
