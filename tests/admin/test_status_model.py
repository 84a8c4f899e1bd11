"""The values that are shown, and the schema that documents them."""

import json
from typing import Any

import pytest
from attrs import fields

from lbconsul.admin.check_status import ChecksStatus, CheckStatus
from lbconsul.admin.http_status import HTTPStatus, HTTPUpstreamStatus, UnhappyStatus
from lbconsul.admin.status_model import (
    FORMAT,
    CertificateStatus,
    DrainedStatus,
    GatewayStatus,
    Histogram,
    MappingStatus,
    PoolStatus,
    RegistrationStatus,
    SkippedStatus,
    UpstreamStatus,
    WatchStatus,
    WorkerStatus,
)
from tests.support.binaries import REPOSITORY

SCHEMA: dict[str, Any] = json.loads(
    (REPOSITORY / "docs" / "status.schema.json").read_text()
)


def test_the_format() -> None:
    """The schema is that of the format that is written."""
    assert SCHEMA["properties"]["format"] == {"const": FORMAT}


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("certificate", CertificateStatus),
        ("check", CheckStatus),
        ("checks", ChecksStatus),
        ("drained", DrainedStatus),
        ("gateway", GatewayStatus),
        ("histogram", Histogram),
        ("http", HTTPStatus),
        ("http_upstream", HTTPUpstreamStatus),
        ("mapping", MappingStatus),
        ("pool", PoolStatus),
        ("registration", RegistrationStatus),
        ("skipped", SkippedStatus),
        ("unhappy", UnhappyStatus),
        ("upstream", UpstreamStatus),
        ("watch", WatchStatus),
        ("worker", WorkerStatus),
    ],
)
def test_all_is_documented(name: str, of: type) -> None:
    """Each name that is shown is in the schema, and the schema has no others."""
    schema = SCHEMA["$defs"][name]
    shown = {each.name for each in fields(of)}
    assert set(schema["properties"]) == set(schema["required"]) == shown
