"""How many Python functions a connection calls: a bound, so that they do not grow."""

import sys
from types import FrameType

import pytest

import lbconsul
from tests.support.python_calls import calls_per_connection
from tests.support.relay_stage import relay_stage, server_context

#: The calls of a connection that nothing hinders.  They may become fewer; a feature
#: that is not in use must not make them more.
MOST = {"log off": 30, "log on": 34}


@pytest.mark.parametrize("log", MOST)
def test_calls_of_a_connection(log: str) -> None:
    """A connection with one request and one answer costs no more calls than it did."""
    calls = calls_per_connection(logs=log == "log on", connections=64)
    assert calls <= MOST[log]


#: The calls of a small message to or from a client with TLS: two of the poller, then
#: those of the side down to OpenSSL's function.
MOST_OF_A_MESSAGE = 6


def test_calls_of_a_message_over_tls() -> None:
    """A message on a kept connection with TLS costs no more calls than it did."""
    package = lbconsul.__path__[0]
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call" and frame.f_code.co_filename.startswith(package)

    with relay_stage(("tls", "plain"), server_context()) as stage:
        stage.client.say(b"first")
        stage.hears(stage.upstream, b"first")
        for sender, receiver in (
            (stage.client, stage.upstream),
            (stage.upstream, stage.client),
        ):
            sender.say(b"message")
            counted = 0
            sys.setprofile(count)
            try:
                stage.hears(receiver, b"message")
            finally:
                sys.setprofile(None)
            assert 0 < counted <= MOST_OF_A_MESSAGE
