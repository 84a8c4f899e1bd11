"""How routes are made of tags in Consul, as a frozen value."""

from attrs import frozen

#: The service of a mapping whose routes are the tags of services in Consul.
TAGS = "@tags"

#: How the paths of tags are matched: the values of fabio's ``proxy.matcher``.
MATCHERS = ("prefix", "iprefix", "glob")


@frozen
class TagRouting:
    """Which tags of services are routes of a mapping, and how they are read."""

    #: Whether tags are routes.
    is_on: bool = False
    #: What a tag must begin with to be a route.
    prefix: str = "urlprefix-"
    #: How paths are matched: one of `MATCHERS`.
    matcher: str = "prefix"
    #: The first and the last port that a tag with ``proto=tcp`` may open; empty: none.
    tcp_listeners: tuple[int, ...] = ()
    #: The key in Consul below which are commands that alter the routes; empty: none.
    overrides: str = ""
    #: How long a route is known whose last instance was deregistered, in seconds.
    hold: float = 300.0
