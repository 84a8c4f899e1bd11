"""The dev catalog's error response."""

from attrs import frozen


@frozen
class HTTPError(Exception):
    """Ends a request with this status and this sentence."""

    status: int
    sentence: str
