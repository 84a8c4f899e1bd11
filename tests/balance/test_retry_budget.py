"""Retry budgets: how many requests are sent again."""

from lbconsul.balance.retry_budget import RetryBudget


def test_few_requests_have_their_retries() -> None:
    """The first requests may be sent again, all of them."""
    budget = RetryBudget()
    assert [budget.take() for _ in range(12)] == [True] * 10 + [False] * 2


def test_retries_are_a_fifth_of_many_requests() -> None:
    """However many requests fail, a fifth of them is sent again."""
    budget, retries = RetryBudget(), 0
    for _ in range(1000):
        budget.add_request()
        retries += budget.take()
    assert 200 <= retries <= 210


def test_no_more_than_the_reserve_is_saved_up() -> None:
    """After many requests without a retry no more follow at once than at first."""
    budget = RetryBudget()
    for _ in range(1000):
        budget.add_request()
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]
