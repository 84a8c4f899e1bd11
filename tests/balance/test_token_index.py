"""Which instance a client's cookie stands for."""

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.token_index import TokenIndex
from tests.support.instances import an_identity, an_instance

WEB, API = ServiceQuery("web"), ServiceQuery("api")


def _named(datacenter: str, node: str, service_id: str) -> list[bytes]:
    return [service_id.encode()]


def _registry() -> Registry:
    return Registry(lambda: 0.0)


def test_it_follows_the_catalog() -> None:
    """A token stands for its instance as long as any answer contains that."""
    registry = _registry()
    registry.replace(WEB, [an_instance("a"), an_instance("b")])
    tokens = TokenIndex(_named)
    registry.index(tokens)
    assert tokens.instances == {b"a": an_identity("a"), b"b": an_identity("b")}
    registry.replace(API, [an_instance("a"), an_instance("c")])
    registry.replace(WEB, [an_instance("b")])
    assert set(tokens.instances) == {b"a", b"b", b"c"}
    registry.apply(API, [an_instance("d")], [an_identity("a")])
    assert set(tokens.instances) == {b"b", b"c", b"d"}
    registry.keep_only([])
    assert not tokens.instances
    assert not tokens.tokens


def test_another_key() -> None:
    """With another key all tokens are others; the instances are the same."""
    registry, tokens = _registry(), TokenIndex(_named)
    registry.index(tokens)
    registry.replace(WEB, [an_instance("a")])
    tokens.replace(
        lambda *identity: [b"new", identity[2].encode()],
        list(tokens.tokens),
    )
    assert set(tokens.instances) == {b"a", b"new"}
    registry.replace(WEB, [])
    assert not tokens.instances
