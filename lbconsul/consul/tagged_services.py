"""Watches which services have tags that are routes."""

from collections.abc import Callable, Collection, Mapping

from twisted.internet.interfaces import IReactorTime

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.entries import members
from lbconsul.consul.list_watch import ListWatch, Reading
from lbconsul.errors import UnusableAnswer

#: The list of all services with the tags of their instances.
#: https://developer.hashicorp.com/consul/api-docs/catalog#list-services
SERVICES = "/v1/catalog/services"

#: The most services with routes that are followed.
MOST_SERVICES = 20_000

#: The services with routes, each with all tags of its instances.
Services = Mapping[str, frozenset[str]]


def reading(reply: Reply, prefixes: Collection[str]) -> Reading[Services]:
    """The services of an answer that have a tag with one of the prefixes.

    :raises UnusableAnswer: the answer is not valid.
    """
    found, begins, count = dict[str, frozenset[str]](), tuple(prefixes), 0
    for name, tags in members(reply.body):
        count += 1
        if not isinstance(tags, list | None):
            raise UnusableAnswer("the tags of a service are not a list")
        is_found = False
        for tag in tags or ():
            if not isinstance(tag, str):
                raise UnusableAnswer("a tag is not a text")
            if tag.lstrip().startswith(begins):
                is_found = True
        if is_found:
            found[name] = frozenset(tags or ())
        yield
    if reply.filtered and not found:
        raise UnusableAnswer("ACLs hide services from the token; no other has routes")
    if not count:
        # Consul itself is a service.
        raise UnusableAnswer("there is no service at all: may the token read services?")
    if len(found) > MOST_SERVICES:
        raise UnusableAnswer(f"{len(found)} services have routes: {MOST_SERVICES} may")
    return found


def tagged_services(
    clock: IReactorTime,
    client: ConsulClient,
    chance: Callable[[], float],
    datacenter: str,
    prefixes: Collection[str],
    changed: Callable[[Services], None],
    on_answer: Callable[[], object] = lambda: None,
    on_trouble: Callable[[str], object] = lambda reason: None,
) -> ListWatch[Services]:
    """A watch of the services with a tag that begins with one of the prefixes."""
    where = f" of {datacenter}" if datacenter else ""
    return ListWatch(
        clock,
        client,
        chance,
        f"services with routes{where}",
        lambda client, index, address, stale: client.ask_list(
            SERVICES, datacenter, index, address, stale=stale
        ),
        lambda reply: reading(reply, prefixes),
        changed,
        on_answer,
        on_trouble,
    )
