"""What goes into a table of routes from tags, and what comes out, as frozen values."""

from collections.abc import Mapping

from attrs import frozen

from lbconsul.config.split import Selection
from lbconsul.tags.options import TagOptions
from lbconsul.tags.tag import RouteKey
from lbconsul.text import fit, printable, quoted

#: Datacenter, node and service id, as `lbconsul.balance.instance.Identity`.
Identity = tuple[str, str, str]


@frozen
class TagInstance:
    """A registered instance, as the table needs it, whether it is healthy or not."""

    identity: Identity
    #: All of its tags, not only those of routes.
    tags: tuple[str, ...] = ()
    #: Its weight in Consul for the state of its checks.
    weight: int = 1
    #: Whether it may get requests: its checks allow it, and its weight is not 0.
    usable: bool = True
    #: ``host:port``, as commands in Consul's KV name it.
    address: str = ""


@frozen(cache_hash=True)  # it is looked up for each instance of a change
class GroupKey:
    """What the targets of a group have in common; tells apart those of one route.

    It stays the same while instances come and go.
    """

    #: In Consul; of a target that a command adds only a name.
    service: str
    options: TagOptions = TagOptions()
    #: Which of the service's instances they are: those with the tag, but for what
    #: commands in Consul's KV say.
    selection: Selection = Selection()
    #: The tag, if it is not written as `RouteKey` and `TagOptions` are.
    spelling: str = ""
    #: ``host:port`` of a target that a command adds; empty: it is instances.
    address: str = ""

    def __str__(self) -> str:
        """Service and options; unlike those of the other groups of a route."""
        words = [quoted(self.service), str(self.options), self.address]
        if self.spelling:
            words.append(f"tag={quoted(printable(self.spelling))}")
        words += [f"with={quoted(each.tag)}" for each in self.selection.having[1:]]
        words += [f"without={quoted(each.tag)}" for each in self.selection.lacking]
        words += [f"not-at={each}" for each in self.selection.not_at]
        return printable(" ".join(filter(None, words)))


@frozen
class TargetGroup:
    """Instances of one service that serve a route alike: a row of the gateway.

    Between the groups of a route requests are shared by `share`; between the instances
    of a group the policy of the mapping decides, with their weights in Consul.
    """

    key: GroupKey
    #: How many registered instances there are, and how many of them are usable.
    registered: int = 0
    usable: int = 0
    #: The part of the route's requests, from 0 to 1.  Those of a route add up to 1, or
    #: are all 0 if no instance of any is usable.
    share: float = 0.0


@frozen
class TagRoute:
    """A route and what it leads to.

    Without a group, or while all shares are 0, requests for it get 503: it is known,
    and no shorter route takes them.
    """

    key: RouteKey
    #: In the order of their keys' texts.
    groups: tuple[TargetGroup, ...] = ()
    #: Why it has no group: what is wrong with its tags.  Empty if it has one, or if no
    #: instance is left.
    closed: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether any instance may get its requests."""
        return any(each.share for each in self.groups)


@frozen
class Problem:
    """What is wrong about a tag or a command in Consul's KV, to be told and shown."""

    #: Empty: it is a command.
    service: str
    #: The instance, as datacenter, node and service id; None: it is about several.
    instance: Identity | None
    #: The tag or the command.
    tag: str
    #: What is wrong, and what would be right.
    why: str
    #: Whether it gets requests all the same.
    is_warning: bool = False

    def __str__(self) -> str:
        instance = "/".join(self.instance) if self.instance else ""
        where = [fit(each) for each in (self.service, instance) if each]
        return ": ".join([*where, fit(self.tag, 200), self.why])


@frozen
class TableChange:
    """What a change of one service, or of the commands, has altered.

    Routes that stay what they are are not in it.
    """

    #: Each route that is new or has other groups; None: it is gone.
    routes: Mapping[RouteKey, TagRoute | None]
    #: Problems that are new, and those that are no more.
    new: tuple[Problem, ...] = ()
    gone: tuple[Problem, ...] = ()
