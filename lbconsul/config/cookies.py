"""How the gateway sets cookies of its own, as a frozen value."""

from attrs import frozen


@frozen
class CookieAttributes:
    """The attributes of a mapping's own cookies (RFC 6265, 4.1.2)."""

    #: Below which path of the site clients send them.
    path: str = "/"
    #: Seconds for which clients keep them; 0: until the browser ends.
    max_age: float = 0.0
    #: Whether clients send them over TLS alone: ``on``, ``off``, or ``auto``, where the
    #: client has come by ``https``.
    secure: str = "auto"
    #: Whether they are hidden from scripts.
    http_only: bool = True
    #: Which requests from other sites carry them: ``lax``, ``strict`` or ``none``.
    same_site: str = "lax"
