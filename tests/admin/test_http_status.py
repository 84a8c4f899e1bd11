"""What is shown of HTTP requests."""

from lbconsul.admin.http_status import HTTPStatus, HTTPUpstreamStatus, UnhappyStatus
from lbconsul.admin.status_json import plain


def test_same_names() -> None:
    """What is shown of an upstream has the names that its mapping has."""
    of_upstream = plain(HTTPUpstreamStatus(requests={"2xx": 1}))
    of_mapping = plain(HTTPStatus(requests={"2xx": 1}))
    assert of_upstream.items() <= of_mapping.items()


def test_without_an_upstream() -> None:
    """A request may go wrong before it has an upstream."""
    request = UnhappyStatus(
        time=1.0, client="192.0.2.1:7", method="GET", host="h", path="/", status=503
    )
    assert (request.upstream, request.reason, request.retries) == ("", "", 0)
