"""Retry budget: retries are a fraction of requests, so that they make no outage."""

from attrs import define


@define(eq=False)
class RetryBudget:
    """Allows one retry for each `1 / part` requests, and `reserve` of them at once.

    A server that is overloaded answers with errors: were each request sent again, it
    would get a multiple of its load.  The rule is that of Finagle and of Envoy's retry
    budgets, with a reserve in place of a rate, so that few requests have retries too.
    https://finagle.github.io/blog/2016/02/08/retry-budgets/
    """

    #: Retries for each request.
    part: float = 0.2
    #: The most retries that are saved up.
    reserve: float = 10.0
    #: Those that there are now.
    left: float = 10.0

    def add_request(self) -> None:
        """Count a request."""
        self.left = min(self.reserve, self.left + self.part)

    def take(self) -> bool:
        """Count a retry, if there is one left; return whether there was."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
