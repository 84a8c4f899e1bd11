"""An instance closes idle connections, often as the next request is under way."""

import threading
from http.client import HTTPConnection, HTTPException

import pytest

from tests.end_to_end.stage import Stage
from tests.support.impatient_server import ImpatientServer
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: Requests in all, and the clients that send them.
REQUESTS, CLIENTS = 5000, 8

#: By turns; the first three may be repeated.
METHODS = ("GET", "PUT", "DELETE", "POST")


def _ask(port: int, number: int, outcomes: list[tuple[str, str]]) -> None:
    """Send a client's requests; note the method and what came of each."""
    client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for count in range(REQUESTS // CLIENTS):
        method = METHODS[count % len(METHODS)]
        nonce = f"{method}-{number}-{count}"
        body = b"" if method == "GET" else nonce.encode()
        try:
            client.request(method, f"/{nonce}", body or None)
            response = client.getresponse()
            said = response.read()
            outcome = str(response.status)
            if outcome == "200" and said != body:
                outcome = f"not its own: {said!r} for {body!r}"
        except (OSError, HTTPException) as error:
            outcome = repr(error)
            client.close()
        outcomes.append((method, outcome))
    client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_idle_race(stage: Stage, workers: int) -> None:
    """
    Of 5,000 requests each that may be repeated is answered, and no POST is sent twice;
    one that the instance did not read may be answered with 502.
    """
    (port,) = free_ports(1)
    with ImpatientServer() as server:
        stage.add(server)
        gateway = stage.gateway(
            f"--workers={workers}", "--map", f"{port}:{stage.service},mode=http"
        )
        if workers > 1:
            all_serve(gateway, workers)
        outcomes = list[tuple[str, str]]()
        threads = [
            threading.Thread(target=_ask, args=(port, number, outcomes))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(outcomes) == REQUESTS
    assert server.closed > REQUESTS / 10
    failed = {each for each in outcomes if each[1] != "200"}
    assert failed <= {("POST", "502")}
    twice = [each for each, count in server.seen.items() if count > 1]
    assert [each for each in twice if each.startswith("POST")] == []
    # Nothing was lost between those that were read and those that were answered.
    posts = sum(each.startswith("POST") for each in server.seen)
    assert posts >= outcomes.count(("POST", "200"))
