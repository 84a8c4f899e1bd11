"""How many Python functions a connection calls, with and without a log line."""

from bench.plan import Plan
from bench.results import Results
from bench.stage import Stage
from bench.work import CALLS
from tests.support.python_calls import calls_per_connection


def calls(stage: Stage, plan: Plan, results: Results) -> None:
    """In-process; an exact figure, so once is enough."""
    results.add(CALLS, "lbconsul", calls_per_connection(logs=False))
    results.add(CALLS, "lbconsul, logging", calls_per_connection(logs=True))
