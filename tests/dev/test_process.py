"""The dev catalog on real sockets, in a process of its own."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.dev_catalog import DevCatalogProcess
from tests.support.http_api import ask
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.process


def test_samples_answer() -> None:
    """
    The sample web servers are where the catalog says, and count each for
    itself what it has answered.
    """
    with DevCatalogProcess("web") as catalog:
        for number, one in enumerate(catalog.api("GET", "/v1/health/service/web")[2]):
            port = one["Service"]["Port"]
            answers = [ask(port, "GET", "/") for _ in range(2)]
            name = f"web-{number + 1}"
            assert [headers["X-Served-By"] for _, headers, _ in answers] == [name] * 2
            said = f"{name} on port {port} has answered 2 times\n"
            assert answers[-1][2] == said


def test_stopping_ends_those_who_wait() -> None:
    """A stopped catalog closes blocked queries, and is gone at once."""
    with ThreadPoolExecutor(1) as threads:
        with DevCatalogProcess("web") as catalog:
            index = catalog.api("GET", "/v1/health/service/web")[1]["X-Consul-Index"]
            path = f"/v1/health/service/web?index={index}&wait=60s"
            waiting = threads.submit(ask, catalog.port, "GET", path)
            time.sleep(0.3)
        with pytest.raises(OSError):
            waiting.result(timeout=PATIENCE)
