"""Which of a service's instances a client comes to again, as a frozen value."""

from attrs import frozen


@frozen
class Affinity:
    """What connections and requests have in common that go to one instance."""

    #: What the policy considers: ``source``, ``uri``, ``header:NAME`` or
    #: ``cookie:NAME``.  Empty: ``source`` for the policy ``hash``, else nothing.
    hash_by: str = ""
    #: How much of its share of the open connections an instance may have with the
    #: policy ``hash``, in percent; 0: any.
    hash_balance_factor: int = 125
    #: The name of the cookie by which a client's further requests go to the same
    #: instance; empty: there is none.
    sticky: str = ""
