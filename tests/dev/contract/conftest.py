"""Both subjects of the contract, and names that no other test uses."""

import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.dev.contract.subject import Api, Subject
from tests.support.dev_catalog import DevCatalogProcess


@pytest.fixture(scope="session")
def dev_catalog() -> Iterator[DevCatalogProcess]:
    """One dev catalog in a process of its own, for all of the contract."""
    with DevCatalogProcess("webserver") as process:
        yield process


@pytest.fixture(
    scope="session",
    params=["dev_catalog", pytest.param("consul", marks=pytest.mark.consul)],
)
def subject(request: pytest.FixtureRequest) -> Subject:
    """The dev catalog, then a real Consul."""
    api: Api = request.getfixturevalue(request.param)
    return Subject(real=request.param == "consul", api=api)


@pytest.fixture
def name(subject: Subject) -> Iterator[str]:
    """The name of a service that is gone again after the test."""
    name = f"service-{uuid.uuid4().hex[:8]}"
    yield name
    for service in subject.get("/v1/agent/services").values():
        if service["ID"].startswith(name):
            subject.do(f"/v1/agent/service/deregister/{quote(service['ID'])}")


@pytest.fixture
def external(subject: Subject) -> Iterator[str]:
    """The name of a node without an agent, which is gone again after the test."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    yield name
    subject.do("/v1/catalog/deregister", {"Node": name})
