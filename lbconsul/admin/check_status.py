"""What there is to be shown of the gateway's own checks, as values."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class CheckStatus:
    """The own check of one upstream."""

    #: What it does: ``GET /health``, or ``connect``.
    check: str
    #: ``unknown`` (no result yet), ``passing``, ``failing``.
    state: str
    #: Since when.
    since: float
    #: The latest result, such as ``GET /health: 503``; empty before the first.
    result: str = ""
    #: How long that took, in whole milliseconds; None before the first.
    duration: float | None = None
    #: How many have failed since the gateway began to check the instance.
    failures: int = 0


@frozen(kw_only=True)
class ChecksStatus:
    """All own checks of a gateway."""

    #: How many instances are checked; one that is checked in two ways counts twice.
    checked: int
    failing: int
    #: How many checks are under way.
    under_way: int
    #: For how long the check has waited that is due the longest, in seconds: long if
    #: there are more than `check-rate` allows.
    late: float


def fails_open(upstream: Mapping[str, Any]) -> bool:
    """Whether an upstream in ``/status`` is used though its own check fails.

    It is only where the own checks of its whole pool fail.
    """
    check = upstream.get("check")  # which an older gateway has not
    if not check or upstream["standing"] not in ("serving", "warming"):
        return False
    return bool(check["state"] == "failing")


def used_all_the_same(count: int) -> str:
    """What it means that so many upstreams of a pool fail open."""
    whose = f"all {count} instances" if count > 1 else "the only instance"
    return f"the own checks of {whose} fail: used all the same (check-fail-open)"
