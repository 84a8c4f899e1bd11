"""On what the numbers were taken."""

import pytest

from bench import about


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2025/04/17", "2.6.12-1+deb12u4"),
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("/lib/python3.11/envoy  version: 9e55/1.40.0/Clean/RELEASE", "1.40.0"),
        ("no such program", "unknown"),
    ],
)
def test_versions(said: str, version: str) -> None:
    """Each program says its version in its own way."""
    assert about.find_version(said) == version
