"""Values, medians, and what is written of them."""

from pathlib import Path

import pytest

from bench.results import Results
from bench.work import CPU, PICK, Measure

KEEP_ALIVE = CPU["keep-alive"]


def some() -> Results:
    """Three rounds of two balancers, and a curve."""
    results = Results({"kernel": "6.1"})
    for value in (16.0, 90.0, 15.0):
        results.add(KEEP_ALIVE, "haproxy", value)
    results.add(KEEP_ALIVE, "lbconsul", 20.0)
    results.add(PICK, "random", 2.0, 10)
    results.add(PICK, "random", 3.0, 1000)
    return results


def fail(error: BaseException) -> None:
    """What a measurement does that goes wrong."""
    raise error


def test_medians() -> None:
    """One disturbed round does not show; what was not measured is None."""
    results = some()
    assert results.median(KEEP_ALIVE, "haproxy") == 16
    assert results.median(KEEP_ALIVE, "envoy") is None
    assert results.spread(KEEP_ALIVE, "haproxy") == (15, 90)
    assert results.spread(KEEP_ALIVE, "lbconsul") is None
    assert results.median(PICK, "random", 10) == 2
    assert results.places(PICK) == [10, 1000]
    assert results.peers(KEEP_ALIVE) == ["haproxy", "lbconsul"]


def test_ratios_are_of_the_same_round() -> None:
    """A round is compared with itself, and nothing where one of two lacks a round."""
    results = some()
    for value in (8.0, 45.0, 30.0):
        results.add(KEEP_ALIVE, "envoy", value)
    base = (KEEP_ALIVE, "haproxy", 0)
    assert results.ratios((KEEP_ALIVE, "envoy", 0), base) == [0.5, 0.5, 2.0]
    assert results.ratios((KEEP_ALIVE, "lbconsul", 0), base) == []


def test_a_failure_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """One balancer's failure is one line, and the others go on."""
    results = some()
    with results.noting("envoy"):
        fail(RuntimeError("does not serve; it said:\n  port in use"))
    assert results.troubles == [
        "envoy: RuntimeError: does not serve; it said: port in use"
    ]
    assert "envoy" in capsys.readouterr().err
    assert results.median(KEEP_ALIVE, "haproxy") == 16


def test_an_interrupt_is_no_failure_of_a_balancer() -> None:
    """Ctrl-C ends the bench, not one measurement."""
    results = some()
    with pytest.raises(KeyboardInterrupt), results.noting("envoy"):
        fail(KeyboardInterrupt())
    assert not results.troubles


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """The plots can be drawn again from the file."""
    results = some()
    results.trouble("no envoy")
    results.write(tmp_path / "new" / "directory")
    text = (tmp_path / "new" / "directory" / "results.json").read_text()
    again = Results.from_json(text)
    assert again == results
    assert again.to_json() == text


def test_one_part_again(tmp_path: Path) -> None:
    """A run of one part leaves the numbers of the others as they were."""
    one, other = Measure("one", "s"), Measure("other", "s")
    assert Results.read(tmp_path) is None
    earlier = Results({"date": "then"})
    earlier.add(one, "a", 1.0)
    earlier.add(one, "b", 2.0)
    earlier.add(other, "a", 3.0)
    earlier.write(tmp_path)
    again = Results({"date": "now"})
    again.add(one, "a", 4.0)
    read = Results.read(tmp_path)
    assert read is not None
    whole = again.beside(read)
    assert whole.figures == {(one, "a", 0): [4.0], (other, "a", 0): [3.0]}
    assert whole.about == {"date": "now", "the rest": {"date": "then"}}
    assert again.beside(Results({})).about == {"date": "now"}
