"""Watches the keys of Consul's key-value store that hold certificates."""

from collections.abc import Callable, Iterable
from typing import Any

from attrs import Factory, define
from twisted.application.service import MultiService

from lbconsul.consul.client import ConsulClient
from lbconsul.consul.key_watch import Keys, KeyValue, key_watch
from lbconsul.consul.list_watch import ListWatch


@define(eq=False, repr=False)
class CertificateKeys(MultiService):
    """The keys below the prefixes that mappings name, as Consul last had them."""

    _reactor: Any
    _client: ConsulClient
    _chance: Callable[[], float]
    #: Called after an answer whose keys are not those of the last one.
    _changed: Callable[[], object]
    _watches: dict[str, ListWatch[Keys]] = Factory(dict)
    #: The keys below each prefix, once Consul has answered.
    _keys: dict[str, tuple[KeyValue, ...]] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        super().__init__()

    @property
    def prefixes(self) -> set[str]:
        """The prefixes that are watched."""
        return set(self._watches)

    def of(self, prefix: str) -> tuple[KeyValue, ...] | None:
        """The keys below a prefix; None before Consul's first answer."""
        return self._keys.get(prefix)

    def error(self, prefix: str) -> str:
        """Why Consul does not answer for a watched prefix; empty if it does."""
        return self._watches[prefix].error

    def watch_only(self, prefixes: Iterable[str]) -> None:
        """Watch these prefixes, and no others."""
        wanted = set(prefixes)
        for gone in self._watches.keys() - wanted:
            self._watches.pop(gone).disownServiceParent()
            self._keys.pop(gone, None)
        for prefix in sorted(wanted - self._watches.keys()):
            watch = self._watches[prefix] = key_watch(
                self._reactor, self._client, self._chance, prefix, self._on_keys
            )
            watch.setServiceParent(self)

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client, if it asks otherwise than the last one."""
        if client.fingerprint != self._client.fingerprint:
            self._client = client
            for each in self._watches.values():
                each.use_client(client)

    def _on_keys(self, prefix: str, found: tuple[KeyValue, ...]) -> None:
        if prefix in self._watches:
            self._keys[prefix] = found
            self._changed()
