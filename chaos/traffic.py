"""Load from two kinds of clients, whose requests are counted in the report."""

from types import TracebackType
from typing import Self

from chaos.report import Report, percentile
from tests.support.load import TIMEOUT, Address, Load, Outcome, Request


class Traffic:
    """Clients that keep their connection, and clients that make one for each request.

    As a context manager they ask all the time until `stop`.  With a `body` of so many
    bytes one more client that keeps its connection sends that with each request.
    """

    def __init__(
        self,
        report: Report,
        *addresses: Address,
        new: int = 4,
        kept: int = 4,
        pause: float = 0.01,
        timeout: float = TIMEOUT,
        body: int = 0,
    ) -> None:
        self._report = report
        self._loads = list[Load]()
        of = ",".join(map(str, addresses))
        if new:
            self._loads.append(Load(of, new, pause, timeout=timeout))
        if kept:
            load = Load(of, kept, pause, keep_alive=True, timeout=timeout)
            self._loads.append(load)
        if body:
            load = Load(of, 1, pause, keep_alive=True, timeout=timeout, body=body)
            self._loads.append(load)

    def __enter__(self) -> Self:
        for each in self._loads:
            each.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._loads:
            each.__exit__(kind, error, trace)

    def over(self) -> int:
        """How many requests are over."""
        return sum(each.more(0) for each in self._loads)

    def stop(self) -> Outcome:
        """Let the clients finish; what became of all requests, as they began."""
        outcomes = [each.stop() for each in self._loads]
        whole = Outcome(sorted(each for outcome in outcomes for each in outcome))
        self._report.count(len(whole), len(whole.failed()), len(whole.wrong()))
        return whole

    def stop_faultless(self) -> Outcome:
        """The same, where no request may have failed."""
        whole = self.stop()
        require_faultless(self._report, whole)
        return whole


def require_faultless(report: Report, outcome: Outcome, least: int = 50) -> None:
    """Of these requests none failed; and there were some."""
    troubles = sorted({each.trouble for each in outcome if each.trouble})
    report.at_most("failed", len(outcome.failed()), 0)
    report.at_most("wrong", len(outcome.wrong()), 0)
    if troubles:
        report.require("the same", False, "; ".join(troubles[:3]))
    if len(outcome) < least:
        report.at_least("requests", len(outcome), least)


def between(outcome: Outcome, begin: float, end: float) -> Outcome:
    """The requests that clients set out to send in this time."""
    return Outcome(each for each in outcome if begin <= each.begun < end)


def slowest(outcome: Outcome) -> float:
    """The seconds that the slowest one took; 0 if there is none."""
    return max(map(took, outcome), default=0.0)


def p99(outcome: Outcome) -> float:
    """Seconds within which 99 of 100 were over."""
    return percentile(map(took, outcome), 0.99)


def took(request: Request) -> float:
    """Seconds from the client's wish to the end."""
    return request.over - request.begun
