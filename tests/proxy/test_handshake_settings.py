"""Which steps the options of a mapping ask of its clients."""

from typing import Any

import pytest

from lbconsul.config.model import Mapping
from lbconsul.proxy.handshake_settings import HandshakeSettings, HandshakeState
from lbconsul.stats.termination import Termination
from tests.support.mappings import altered


@pytest.mark.parametrize("options", [{}, {"first_byte_timeout": 5.0}])
def test_no_handshake(options: dict[str, Any]) -> None:
    """A mapping whose clients get an upstream at once has no handshake."""
    assert HandshakeSettings.of(altered(Mapping("web"), **options)) is None


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
    [step] = settings.steps
    assert step.state is HandshakeState.FIRST_BYTE
    assert (step.timeout, step.overdue) == (limit, code)
