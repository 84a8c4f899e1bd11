"""The tables that people read."""

from bench import table
from bench.results import Results
from bench.work import CPU, PICK


def test_ratios_are_to_the_yardstick() -> None:
    """A balancer's number has its ratio to HAProxy's behind it; a gap is empty."""
    results = Results({})
    results.add(CPU["keep-alive"], "haproxy", 16.0)
    results.add(CPU["keep-alive"], "lbconsul", 20.0)
    results.add(CPU["new connection"], "haproxy", 1234.0)
    assert table.compared(results).splitlines() == [
        "|                                    | haproxy |    lbconsul |",
        "| ---------------------------------- | ------: | ----------: |",
        "| CPU, keep-alive, us/request        |    16.0 | 20.0 (1.25) |",
        "| CPU, new connection, us/connection |   1,234 |             |",
    ]


def test_a_curve_is_compared_with_its_beginning() -> None:
    """Growth shows as a ratio to the smallest N."""
    results = Results({})
    results.add(PICK, "random", 2.0, 10)
    results.add(PICK, "random", 3.0, 10000)
    assert table.curve(results, PICK).splitlines()[2] == (
        "| random                      |   2.00 | 3.00 (1.50) |"
    )


def test_troubles_are_printed() -> None:
    """The table shows the failures beside the numbers."""
    results = Results({}, troubles=["lbconsul: Socket errors: read 7"])
    assert "- lbconsul: Socket errors: read 7" in table.tables(results)


def test_numbers_are_short() -> None:
    """Numbers have at most four digits."""
    assert table.with_ratio(1234.5, None) == "1,234"
    assert table.with_ratio(0.123, 0.01) == "0.12 (12)"
    assert table.with_ratio(None, 1.0) == ""
