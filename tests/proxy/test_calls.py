"""How many Python functions a connection calls: a bound, so that they do not grow."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from attrs import evolve

import lbconsul
from lbconsul.config.affinity import Affinity
from lbconsul.config.build import configure
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import TLS, Limits, ProxyProtocol
from lbconsul.config.rate_limit import rate_limit
from lbconsul.net.poller import EpollPoller
from lbconsul.net.proxy_v2 import build_v2
from tests.support.certificates import Authority
from tests.support.python_calls import (
    calls_per_client,
    calls_per_connection,
    calls_per_request,
)
from tests.support.relay_stage import relay_stage, server_context
from tests.support.tls import hello

#: The calls of a connection that nothing hinders.  They may become fewer; a feature
#: that is not in use must not make them more.
MOST = {"log off": 30, "log on": 34}


@pytest.mark.parametrize("log", MOST)
def test_calls_of_a_connection(log: str) -> None:
    """A connection with one request and one answer costs no more calls than it did."""
    calls = calls_per_connection(logs=log == "log on", connections=64)
    assert calls <= MOST[log]


#: The calls of a connection for which a mapping does more, without a log: beside those
#: above, what the feature costs.
MOST_WITH = {"policy=hash": 34, "accept-proxy": 57, "send-proxy": 62, "mode=sni": 61}

_FEATURES: dict[str, dict[str, Any]] = {
    # Without a bound: where an upstream is full, more places are looked at.
    "policy=hash": {"policy": "hash", "affinity": Affinity(hash_balance_factor=0)},
    "accept-proxy": {
        "proxy_protocol": ProxyProtocol(accept=("127.0.0.0/8",)),
        "before": build_v2(("192.0.2.1", 50000), ("192.0.2.2", 443)),
    },
    "send-proxy": {"proxy_protocol": ProxyProtocol(send="v2")},
    "mode=sni": {"mode": "sni", "before": hello("localhost")},
}


@pytest.mark.parametrize("feature", MOST_WITH)
def test_calls_of_a_connection_with(feature: str) -> None:
    """Nor does one whose server name or PROXY header is read, or that gets a header."""
    options = _FEATURES[feature]
    calls = calls_per_connection(logs=False, connections=64, **options)
    assert calls <= MOST_WITH[feature]


#: The calls in HTTP mode, of a request where all connections are kept, of one whose
#: target and Cookie are new, and of a client with one request, for which the upstream's
#: connection is new as well.
MOST_OF_A_REQUEST = {"log off": 17, "log on": 20}
MOST_OF_A_VARYING_REQUEST = {"log off": 29, "log on": 32}
MOST_WITH_HTTP = {"log off": 83, "log on": 91}

#: The calls of a kept request where the mapping does more, without a log.
MOST_OF_A_REQUEST_WITH = {"policy=hash by a field": 20, "sticky": 21}

_REQUEST_FEATURES: dict[str, dict[str, Any]] = {
    "sticky": {"affinity": Affinity(sticky="lbconsul")},
    "policy=hash by a field": {
        "policy": "hash",
        "affinity": Affinity("header:host", 0),
    },
}


@pytest.mark.parametrize("feature", MOST_OF_A_REQUEST_WITH)
def test_calls_of_a_kept_request_with(feature: str) -> None:
    """Nor does one that comes to its own instance: it takes the ordinary way."""
    options = _REQUEST_FEATURES[feature]
    calls = calls_per_request(logs=False, requests=64, mode="http", **options)
    assert calls <= MOST_OF_A_REQUEST_WITH[feature]


#: The same while connections to upstreams are kept, and clients send what others did.
MOST_OF_A_CLIENT = {"log off": 28, "log on": 33}


@pytest.mark.parametrize("log", MOST_OF_A_REQUEST)
def test_calls_of_a_kept_request(log: str) -> None:
    """A further request of a client in HTTP mode costs no more calls than it did."""
    calls = calls_per_request(logs=log == "log on", requests=64, mode="http")
    assert calls <= MOST_OF_A_REQUEST[log]


@pytest.mark.parametrize("log", MOST_OF_A_VARYING_REQUEST)
def test_calls_of_a_request_that_varies(log: str) -> None:
    """Nor does one with another target and another Cookie than the last one."""
    calls = calls_per_request(
        logs=log == "log on", requests=64, varies=True, mode="http"
    )
    assert calls <= MOST_OF_A_VARYING_REQUEST[log]


def test_calls_of_a_limited_request() -> None:
    """Nor does one whose client has a rate: two calls more; and one of a number."""
    rates = Limits(rates=(rate_limit("1000000/s"),))
    calls = calls_per_request(logs=False, requests=64, mode="http", limits=rates)
    assert calls <= MOST_OF_A_REQUEST["log off"] + 2
    requests = Limits(requests=10)
    calls = calls_per_request(logs=False, requests=64, mode="http", limits=requests)
    assert calls <= MOST_OF_A_REQUEST["log off"] + 3


@pytest.mark.parametrize("log", MOST_WITH_HTTP)
def test_calls_of_a_connection_in_http_mode(log: str) -> None:
    """Nor does a client that connects for a single request."""
    calls = calls_per_connection(logs=log == "log on", connections=64, mode="http")
    assert calls <= MOST_WITH_HTTP[log]


@pytest.mark.parametrize("log", MOST_OF_A_CLIENT)
def test_calls_of_a_client_with_one_request(log: str) -> None:
    """Nor does it where the connections to upstreams are kept."""
    calls = calls_per_client(logs=log == "log on", clients=64)
    assert calls <= MOST_OF_A_CLIENT[log]


#: The calls of a connection with TLS that ends here, without a log.
MOST_WITH_TLS = 95


def test_calls_of_a_connection_with_tls(tmp_path: Path) -> None:
    """Nor does a connection with TLS, whose full handshake is a part of it."""
    issued = Authority(tmp_path).issue("localhost")
    pem = tmp_path / "localhost.pem"
    pem.write_text(Path(issued.cert).read_text() + Path(issued.key).read_text())
    tls = TLS(certificates=str(pem))
    # A handshake whose bytes come in more pieces than usual takes further turns.
    calls = min(
        calls_per_connection(logs=False, connections=32, tls=tls) for _ in range(2)
    )
    assert calls <= MOST_WITH_TLS


#: The calls of a small message to or from a client with TLS: the poller's, then those
#: of the side down to OpenSSL's function.
MOST_OF_A_MESSAGE = 5


def test_calls_of_a_message_over_tls() -> None:
    """A message on a kept connection with TLS costs no more calls than it did."""
    package = lbconsul.__path__[0]
    # Asked for in each turn, of which it may take several until the message arrives.
    of_turns = EpollPoller.fileno.__code__
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        code = frame.f_code
        if event == "call" and code is not of_turns:
            counted += code.co_filename.startswith(package)

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


#: The calls of a kept request, and of a connection, where two parts share them evenly.
MOST_WITH_A_SPLIT = {"http": 36, "tcp": 45}


@pytest.mark.parametrize("mode", MOST_WITH_A_SPLIT)
def test_calls_with_a_split(mode: str) -> None:
    """The choice of a part costs some calls, with or without HTTP."""
    text = f"80:web,mode={mode},split=50%:tag=canary"
    [mapping] = configure([], [text]).mappings
    listen = TCPListen("127.0.0.1", 0)
    parts = tuple(evolve(e, selection=None, listen=listen) for e in mapping.parts)
    options: dict[str, Any] = {"mode": mode, "part": mapping.part, "parts": parts}
    if mode == "http":
        calls = calls_per_request(logs=False, requests=64, **options)
    else:
        calls = calls_per_connection(logs=False, connections=64, **options)
    assert calls <= MOST_WITH_A_SPLIT[mode]
