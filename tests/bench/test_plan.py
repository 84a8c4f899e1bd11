"""The options, and what does not fit the machine."""

from pathlib import Path

import pytest

from bench import plan


def test_options() -> None:
    """The parts keep their order, and the yardstick is always measured."""
    told = ["--only", "latency", "--only", "compare", "--peers", "lbconsul"]
    made = plan.parse([*told, "--rounds", "2", "--output", "/elsewhere"])
    assert made.parts == ["compare", "latency"]
    assert made.peers == ["haproxy", "lbconsul"]
    assert made.rounds == 2
    assert made.output == Path("/elsewhere")
    assert plan.parse(["--work", "TLS, keep-alive"]).work == ["TLS, keep-alive"]


def test_quick_is_smaller_and_can_be_told_more() -> None:
    """The quick form has its own numbers, which options overrule."""
    assert plan.parse(["--quick"]).rounds == 1
    assert plan.parse(["--quick", "--rounds", "3"]).rounds == 3
    assert max(plan.parse(["--quick"]).connections) < 9000
    few = plan.parse(["--quick"]).peers
    assert "lbconsul, 2 workers" not in few
    asked = plan.parse(["--quick", "--peers", "lbconsul, 2 workers"]).peers
    assert asked == ["haproxy", "lbconsul, 2 workers"]


def test_unknown_work_is_refused() -> None:
    """A slip of the pen does not measure nothing."""
    with pytest.raises(SystemExit):
        plan.parse(["--work", "nothing"])


def test_a_low_limit_of_descriptors_leaves_out_and_says_so() -> None:
    """What a balancer cannot have the descriptors for is not tried."""
    fitting, said = plan.fit(plan.Plan(), 4096)
    assert fitting.connections == [10, 100, 1000]
    assert fitting.idle == [1000]
    assert ["5000" in said[0], "9000" in said[1]] == [True, True]
    assert plan.fit(plan.Plan(), 20000)[1] == []
    assert fitting.most <= 4096 / 2
