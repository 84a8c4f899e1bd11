"""Parts of a service's instances."""

from lbconsul.config.split import Trait


def test_traits() -> None:
    """What an instance may have is shown as it is written in an option."""
    shown = map(str, (Trait("canary"), Trait(key="version", value="2")))
    assert list(shown) == ["tag=canary", "meta=version:2"]
