"""The one way in which the dev catalog says no."""

from attrs import frozen


@frozen
class HTTPError(Exception):
    """The request is answered with this status and this sentence."""

    status: int
    sentence: str
