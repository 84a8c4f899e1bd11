"""The table that README.md copies."""

from bench.results import Results
from bench.summary import summary
from bench.work import CPU, PICK

ABOUT = {
    "versions": {"haproxy": "2.6.12", "lbconsul": "abc1234", "python": "3.11.7"},
    "builds": {"Python 3.11.7": "slow", "Python 3.13.0": "optimized"},
}


def test_a_log_is_compared_with_a_log() -> None:
    """lbconsul that logs stands beside HAProxy that logs, on each Python."""
    results = Results(ABOUT)
    for peer, values in {
        "haproxy": (10.0, 10.0, 20.0),
        "haproxy, tcplog": (20.0, 20.0, 20.0),
        "lbconsul": (12.0, 13.0, 22.0),
        "lbconsul, logging": (25.0, 26.0, 28.0),
        "lbconsul, Python 3.13.0": (11.0, 11.0, 22.0),
        "bare loop": (11.0, 12.0, 20.0),
    }.items():
        for value in values:
            results.add(CPU["new connection"], peer, value)
    told = summary(results)
    rows = [line.split("|")[1:-1] for line in told.splitlines() if "|" in line]
    assert [[cell.strip() for cell in row] for row in rows if "--" not in row[0]] == [
        [
            "ratio to HAProxy's",
            "lbconsul",
            "lbconsul, Python 3.13.0",
            "a bare loop in Python",
        ],
        [
            "CPU, a new connection",
            "1.30 (1.10-1.30)",
            "1.10 (1.10-1.10)",
            "1.20 (1.00-1.20)",
        ],
        ["CPU, a new connection, both with a log line", "1.30 (1.25-1.40)", "", ""],
    ]
    assert "medians of 3 rounds" in told
    assert "Python 3.11.7: slow. Python 3.13.0: optimized." in told


def test_one_round_has_no_spread() -> None:
    """A quick run says that it is one round, and shows bare ratios."""
    results = Results(ABOUT)
    results.add(CPU["new connection"], "haproxy", 10.0)
    results.add(CPU["new connection"], "lbconsul", 12.0)
    told = summary(results)
    assert "one round; less is better" in told
    assert told.endswith("| CPU, a new connection |     1.20 |")


def test_tls_is_told_apart() -> None:
    """TLS has a table of its own, with those balancers that were measured with it."""
    results = Results(ABOUT)
    results.add(CPU["new connection"], "haproxy", 10.0)
    results.add(CPU["new connection"], "envoy", 15.0)
    results.add(CPU["TLS, full handshake"], "haproxy", 100.0)
    results.add(CPU["TLS, full handshake"], "lbconsul", 115.0)
    told = summary(results)
    assert "Envoy" in told
    assert told.endswith(
        "| ratio to HAProxy's         | lbconsul |\n"
        "| -------------------------- | -------: |\n"
        "| CPU, TLS, a full handshake |     1.15 |"
    )


def test_without_a_comparison_there_is_nothing_to_say() -> None:
    """A run of other parts alone has no such table."""
    results = Results(ABOUT)
    results.add(PICK, "random", 2.0, 10)
    assert summary(results) == ""
