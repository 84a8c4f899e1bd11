"""Keys that connections are balanced by."""

from lbconsul.balance.hash_key import HashKey


def test_a_key_is_the_same_on_every_machine() -> None:
    """Gateways of any version choose alike: the number is fixed."""
    assert HashKey.of(b"10.0.0.1").number == 0x538E_F646_E14D_03E6
    assert HashKey.of(b"a").number != HashKey.of(b"b").number
    assert HashKey.of(b"a").text == b"a"
