"""What instances are called in the cookies of clients."""

from lbconsul.http.signed_cookie import Tokens
from lbconsul.proxy.cookie_tokens import CookieTokens
from tests.support.upstreams import instance, registry_of

ONE, OTHER = b"1" * 32, b"2" * 32


def test_a_key_can_be_replaced() -> None:
    """Tokens of the old key hold as long as it is there, and no longer."""
    web = instance("web", 80)
    registry = registry_of(web)
    tokens = CookieTokens(registry)
    tokens.use((ONE,))
    index = tokens.index()
    [old] = index.instances
    assert old == Tokens("sticky", [ONE]).token(*web.identity)
    assert tokens.index() is index
    tokens.use((OTHER, ONE))
    new = index.tokens[web.identity][0]
    assert index.instances == {new: web.identity, old: web.identity}
    tokens.use(())  # no mapping needs any now
    tokens.use((OTHER,))
    assert list(index.instances) == [new]


def test_without_a_key_there_is_one_of_chance() -> None:
    """An embedder's proxy has cookies as well; those of another one do not hold."""
    registry = registry_of(instance("web", 80))
    one, other = CookieTokens(registry).index(), CookieTokens(registry).index()
    assert one.instances.keys() != other.instances.keys()
