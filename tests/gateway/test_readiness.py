"""Why a gateway is not ready, in a short text."""

from types import SimpleNamespace
from typing import Any

import pytest

from lbconsul.gateway.readiness import why_not_ready


@pytest.mark.parametrize(
    ("blocked", "why"),
    [
        ([], ""),
        (["80:a"], "80:a: no instance"),
        (["80:a", "81:b"], "80:a: no instance; 81:b: no instance"),
        (["80:a", "81:b", "82:c"], "80:a: no instance; 81:b: no instance, and more"),
        (
            [f"{port}:web" for port in range(10_000)],
            "0:web: no instance; 1:web: no instance, and more",
        ),
    ],
)
def test_why(blocked: list[str], why: str) -> None:
    """
    What Consul, the log and systemd are told names two mappings, however many there
    are.
    """
    gateway: Any = SimpleNamespace(
        data_plane=SimpleNamespace(
            mappings=[*blocked, "99:fine"], is_listening=lambda mapping: True
        ),
        availability=SimpleNamespace(
            blocks=lambda mapping: "no instance" if mapping in blocked else ""
        ),
        certificates=SimpleNamespace(blocks=lambda mapping: ""),
    )
    assert why_not_ready(gateway) == why
