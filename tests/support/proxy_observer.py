"""An observer of a proxy's connections that counts its calls."""

from attrs import define

from lbconsul.proxy.mapping_proxy import MappingProxy


@define(eq=False)
class CountingObserver:
    """Counts ended connections, and dials without a descriptor."""

    awaits_end: bool = True
    ended: int = 0
    starved: int = 0
    proxies: tuple[MappingProxy, ...] = ()

    def on_ended(self, proxy: MappingProxy) -> None:
        self.ended += 1

    def on_starved(self) -> None:
        self.starved += 1
