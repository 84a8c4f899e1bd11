"""What a handshake told of a client, in the words of the log."""

from lbconsul.proxy.client_info import ClientInfo, facts_text


def test_nothing_is_known() -> None:
    """A client of which nothing is known has no facts."""
    assert ClientInfo().facts() == {}


def test_facts() -> None:
    """A fact that could be mistaken for several words of the line is in quotes."""
    facts = ClientInfo(via=("192.0.2.7", 4000), error="not now").facts()
    assert facts == {"via": "192.0.2.7:4000", "error": "not now"}
    assert facts_text(facts) == ' via="192.0.2.7:4000" error="not now"'
