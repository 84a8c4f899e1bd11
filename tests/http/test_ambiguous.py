"""What is malformed or ambiguous is refused; the table is in `tests.http.cases`."""

import pytest

from tests.http.cases import REQUESTS, RESPONSES, RESPONSES_TO_HEAD, Case
from tests.http.reading import in_pieces, read

BOTH = [(True, each) for each in REQUESTS] + [(False, each) for each in RESPONSES]


def test_table() -> None:
    """Each input of the table has a name of its own within its kind."""
    refused = [each for _, each in BOTH if each.verdict]
    assert len(refused) >= 300
    for cases in (REQUESTS, RESPONSES, RESPONSES_TO_HEAD):
        assert len({each.raw for each in cases}) == len(cases)


@pytest.mark.parametrize(
    ("is_request", "case"), BOTH, ids=[f"{each.name} ({each.rule})" for _, each in BOTH]
)
def test_verdict(is_request: bool, case: Case) -> None:
    """An input has its verdict, in whatever pieces it arrives."""
    whole = read([case.raw], is_request=is_request)
    assert whole.verdict == case.verdict, whole.refused
    is_short = len(case.raw) < 1000
    for size in (1, 3) if is_short else (97, 1024):
        split = read(in_pieces(case.raw, size), is_request=is_request)
        assert split.verdict == case.verdict, split.refused
        if case.verdict is None:
            assert [each.sent for each in split.messages] == [
                each.sent for each in whole.messages
            ]
    cuts = range(1, len(case.raw)) if is_short else (500, 1023, 1024, 8000)
    for at in cuts:
        split = read([case.raw[:at], case.raw[at:]], is_request=is_request)
        assert split.verdict == case.verdict, (at, split.refused)


@pytest.mark.parametrize("case", RESPONSES_TO_HEAD, ids=lambda each: each.name)
def test_to_head(case: Case) -> None:
    """A response to HEAD ends with its head, and what follows was not asked for."""
    for pieces in ([case.raw], in_pieces(case.raw), in_pieces(case.raw, 7)):
        found = read(pieces, is_request=False, is_of_head=True)
        assert found.verdict == case.verdict, found.refused


@pytest.mark.parametrize("case", [each for each in REQUESTS if each.verdict is None])
def test_passed_on(case: Case) -> None:
    """A request that is passed on is itself accepted, and passed on unchanged."""
    reading = read([case.raw])
    for message in reading.messages:
        if b"HTTP/1.0" in message.head.raw:
            continue  # it may lack the Host that HTTP/1.1 demands
        (again,) = read([message.sent]).messages
        assert again.is_over
        assert again.sent == message.sent
        assert again.data == message.data
