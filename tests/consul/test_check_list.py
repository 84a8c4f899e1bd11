"""Consul's lists of checks."""

import json
from typing import Any

import pytest

from lbconsul.consul.check_list import Check, reading
from lbconsul.consul.client import Reply
from lbconsul.errors import UnusableAnswer
from lbconsul.steps import finish

NODES = {
    "Node": "n",
    "CheckID": "serfHealth",
    "Status": "passing",
    "ServiceName": "",
    "ServiceID": "",
}


def test_checks() -> None:
    """A check is known by its node and id, its service, and how it is."""
    own = NODES | {"CheckID": "c", "ServiceName": "web", "ServiceID": "web-1"}
    found = finish(reading(Reply(json.dumps([NODES, own]).encode())))
    assert found == {
        Check("n", "serfHealth", "", "", "passing"),
        Check("n", "c", "web", "web-1", "passing"),
    }


@pytest.mark.parametrize("other", [{"Status": None}, {"Node": 7}])
def test_unusable(other: dict[str, Any]) -> None:
    """An answer with anything else in it changes nothing."""
    with pytest.raises(UnusableAnswer, match="not a check"):
        finish(reading(Reply(json.dumps([NODES | other]).encode())))
