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


def test_a_feature_is_compared_with_the_same_balancer_without_it() -> None:
    """What routing by SNI adds is told for each balancer, not beside HAProxy's."""
    results = Results({})
    assert table.added(results) == ""
    for peer, plain, routed in (
        ("haproxy", 100.0, 110.0),
        ("haproxy", 200.0, 260.0),
        ("haproxy", 100.0, 120.0),
        ("lbconsul", 120.0, 150.0),
    ):
        results.add(CPU["TLS not decrypted"], peer, plain)
        results.add(CPU["TLS not decrypted, by SNI"], peer, routed)
    assert table.added(results).splitlines()[2] == (
        "| TLS not decrypted, by SNI, over TLS not decrypted | 1.20 (1.10-1.30) |"
        "     1.25 |"
    )


def test_tls_has_a_table_of_its_own() -> None:
    """The balancers of the comparison that serve no TLS are not in it."""
    results = Results({})
    results.add(CPU["keep-alive"], "envoy", 16.0)
    results.add(CPU["TLS, keep-alive"], "haproxy", 20.0)
    told = table.tables(results)
    assert "| CPU, keep-alive, us/request |  16.0 |" in told
    assert "| CPU, TLS, keep-alive, us/request |    20.0 |" in told


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
    assert table.number(1234.5) == "1,234"
    assert table.number(0.123) == "0.12"
    assert [table.ratio(12.3), table.ratio(0.123)] == ["12", "0.12"]


def test_several_rounds_show_their_spread() -> None:
    """The lowest and highest round stand behind the median, their number in front."""
    results = Results({})
    for value in (14.0, 16.0, 15.5):
        results.add(CPU["keep-alive"], "haproxy", value)
        results.add(PICK, "random", value, 10)
    row, line = CPU["keep-alive"], "CPU, keep-alive, us/request, 3 rounds"
    assert results.rounds(row) == 3
    told = table.compared(results).splitlines()[2]
    assert told == f"| {line} | 15.5 [14.0-16.0] |"
    assert "3 rounds" in table.curve(results, PICK)


def test_the_builds_are_named() -> None:
    """Each figure has the build of its Python beside it."""
    results = Results({"builds": {"Python 3.11.7": "optimized"}})
    assert "- Python 3.11.7: optimized" in table.tables(results)
    results.about["the rest"] = {"date": "then", "builds": {"Python 3.11.2": "slow"}}
    told = table.tables(results)
    assert "not measured anew are of then:\n\n- Python 3.11.2: slow" in told
