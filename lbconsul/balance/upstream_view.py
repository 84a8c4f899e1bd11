"""What policies and hooks of an operator's own see of an upstream."""

from typing import TYPE_CHECKING, Any

from lbconsul.balance.instance import Instance

#: The effective weight of an upstream of weight 1.
WHOLE = 100


class UpstreamView:
    """An upstream, as code outside of lbconsul may read it.

    It can be a key of dictionaries: it equals itself only.  Its attributes follow what
    Consul says, and what connections do.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        instance: Instance
        load: Any
        effective_weight: int

    @property
    def id(self) -> str:
        """``datacenter/node/service_id``, percent-encoded: the id in the status."""
        return self.instance.identity.id

    @property
    def datacenter(self) -> str:
        """The datacenter of its node."""
        return self.instance.identity.datacenter

    @property
    def node(self) -> str:
        """The name of its node."""
        return self.instance.identity.node

    @property
    def service_id(self) -> str:
        """The id of its service, which is unique on its node."""
        return self.instance.identity.service_id

    @property
    def address(self) -> str:
        """The IP address to connect to, or the path of a UNIX socket."""
        return self.instance.address

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self.instance.port

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags in Consul."""
        return self.instance.tags

    @property
    def weight(self) -> float:
        """Its weight in Consul; during slow start only a part of it."""
        return self.effective_weight / WHOLE

    @property
    def connections(self) -> int:
        """Its open connections, over all mappings and workers; or requests."""
        connections: int = self.load.open
        return connections

    def load_score(self) -> float:
        """The load by weight: 0 while idle, else (open + 1) / weight.

        The key of HAProxy's leastconn.  It counts the connection to come, which goes
        to the busy upstream that will be less loaded with it.
        """
        open = self.connections
        return (open + 1) * WHOLE / self.effective_weight if open else 0.0
