"""The last hour, as one document."""

import json
from typing import Any

import pytest

from lbconsul.admin.history import history
from tests.support.fake_source import FakeHistory


def _document(source: FakeHistory, *names: str, step: float = 0.0) -> Any:
    return json.loads(b"".join(history(source, names, step)))


def _source() -> FakeHistory:
    source = FakeHistory(lambda: 1000.0)
    columns = ("open", "connections", "requests", "received", "sent", "failed")
    for number, name in enumerate(("80:web", "81:api")):
        source.rows[name] = {each: [None, 1.0 + number, 123456.0] for each in columns}
    return source


def test_whole() -> None:
    """Each mapping has a value for each time and column, unknown ones are null."""
    said = _document(_source())
    assert (said["step"], said["times"]) == (10.0, [970.0, 980.0, 990.0])
    assert [each["name"] for each in said["mappings"]] == ["80:web", "81:api"]
    assert said["mappings"][0]["failed"] == [None, 1.0, 123500.0]


def test_some() -> None:
    """It can be asked for of single mappings; those that are unknown are left out."""
    said = _document(_source(), "81:api", "?")
    assert [each["name"] for each in said["mappings"]] == ["81:api"]


@pytest.mark.parametrize(
    ("step", "times", "values"),
    [
        (10.0, [970.0, 980.0, 990.0], [None, 2.0, 123500.0]),
        (20.0, [970.0, 990.0], [None, 61730.0]),
        (60.0, [990.0], [61730.0]),
    ],
)
def test_longer_steps(step: float, times: list[float], values: list[float]) -> None:
    """In longer steps each value is a mean of what is known."""
    said = _document(_source(), "81:api", step=step)
    assert (said["step"], said["times"]) == (step, times)
    assert said["mappings"][0]["open"] == values


def test_nothing_yet() -> None:
    """A gateway that has just started has none."""
    assert _document(FakeHistory(lambda: 5.0)) == {
        "step": 10.0, "times": [], "mappings": [],
    }  # fmt: skip
