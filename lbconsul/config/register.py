"""How a mapping's address is registered in Consul, as a frozen value."""

from attrs import frozen


@frozen
class Register:
    """The service that a mapping's address is registered as."""

    #: Empty: it is not registered.
    name: str = ""
    tags: tuple[str, ...] = ()
    #: Each ``KEY=VALUE``.
    meta: tuple[str, ...] = ()
    #: ``HOST`` or ``HOST:PORT``; empty: what the mapping listens on.
    address: str = ""
    #: How long Consul believes the last report, in seconds.
    ttl: float = 15.0
    #: After how many seconds Consul removes a registration that is critical.
    remove_after: float = 600.0
