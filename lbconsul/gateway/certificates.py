"""The certificates of a gateway: read at the start, and again when they change.

Whoever is to serve gets all certificates of a mapping at once, and only if all are
valid; what was used before stays in use until then.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.application.service import MultiService
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbconsul.config.model import TLS, Mapping
from lbconsul.consul.client import ConsulClient
from lbconsul.consul.key_watch import KeyValue, KeyWatch
from lbconsul.errors import ConfigError
from lbconsul.gateway.certificate_problems import CertificateProblems
from lbconsul.gateway.interfaces import DataPlane
from lbconsul.gateway.served_certificates import Served
from lbconsul.net.periodic import repeat
from lbconsul.process.clock import WallClock
from lbconsul.steps import Steps, finish
from lbconsul.tls.material import (
    Material,
    PEMText,
    building,
    reading,
    stamping,
    verification,
    with_authorities,
)

#: How often it is looked whether files have changed, in seconds.
LOOK_EVERY = 10.0

#: How often it is looked whether certificates that have not changed expire, in seconds.
JUDGE_EVERY = 600.0


@define(eq=False, repr=False)
class Certificates(MultiService):
    """Gives the data plane what the files and keys of its mappings hold."""

    _log = Logger()
    _reactor: Any
    _data_plane: DataPlane
    _client: ConsulClient
    _chance: Callable[[], float]
    _served: dict[TLS, Served] = Factory(dict)
    _watches: dict[str, KeyWatch] = Factory(dict)
    #: The keys below each prefix, once Consul has answered.
    _keys: dict[str, tuple[KeyValue, ...]] = Factory(dict)
    #: When it is to be looked for problems of certificates again.
    _judge_at: float = -inf
    _problems: CertificateProblems = Factory(CertificateProblems)
    _wall: WallClock = Factory(
        lambda self: WallClock(self._reactor.seconds), takes_self=True
    )
    _looking: LoopingCall | None = field(init=False, default=None)
    #: The steps still to do of a look, and whether another one is to follow.
    _steps: Steps[None] | None = field(init=False, default=None)
    _is_due: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def of(self, tls: TLS) -> Served | None:
        """What is known for these options; None for those without TLS."""
        return self._served.get(tls)

    def blocks(self, mapping: Mapping) -> str:
        """Why a mapping cannot serve clients yet; empty if it can.

        Empty for a route as well: its mapping serves its clients with TLS.
        """
        served = self._served.get(mapping.tls)
        if served is None or served.server is not None or mapping.route:
            return ""
        if served.error:
            return served.error
        watch = self._watches[prefix_of(served.tls)]
        why = f": {watch.error}" if watch.error else " yet"
        return f"no answer for {served.tls.certificates}{why}"

    def add(self, mapping: Mapping) -> None:
        """Read and use the certificates of one more mapping.

        :raises ConfigError: they cannot be used.
        """
        tls = mapping.tls
        if tls.certificates and tls not in self._served:
            self._use(finish(self._load(tls, str(mapping))))
            self._watch_keys()

    def loading(self, mappings: Iterable[Mapping]) -> Steps[list[Served]]:
        """Read the certificates of all these mappings again, in steps.

        :raises ConfigError: some cannot be used; all stays as it is.
        """
        loaded = []
        for tls, mapping in named(mappings).items():
            loaded.append((yield from self._load(tls, mapping)))
        return loaded

    def use_only(self, loaded: Iterable[Served]) -> None:
        """Use what `loading` returned, and forget what the mappings need no more."""
        self._stop_looking()
        before, self._served = self._served, {}
        for each in loaded:
            old = before.get(each.tls)
            if old is not None and old.server is each.server:
                self._served[each.tls] = each
            else:
                self._use(each)
        self._data_plane.drop_certificates(self._served)
        self._watch_keys()
        if self.running:
            self._look()  # keys may have changed meanwhile

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client, if it asks otherwise than the last one."""
        if client.fingerprint != self._client.fingerprint:
            self._client = client
            for each in self._watches.values():
                each.use_client(client)

    def startService(self) -> None:
        super().startService()
        self._looking = repeat(self._reactor, LOOK_EVERY, self._look)
        self._look()

    def stopService(self) -> Any:
        if self._looking is not None:
            self._looking.stop()
            self._looking = None
        self._stop_looking()
        return super().stopService()

    # Looking: whether files or keys are not those that were read.

    def _look(self) -> None:
        if self._steps is not None:
            self._is_due = True
            return
        self._is_due = False
        self._steps = self._in_steps()
        self._data_plane.sweeper.begin(self._steps)

    def _stop_looking(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            self._data_plane.sweeper.drop(steps)

    def _in_steps(self) -> Steps[None]:
        try:
            yield from self._look_at_all()
        except Exception:
            self._steps = None  # the next look is to come
            raise
        self._steps = None
        if self._is_due:
            self._look()

    def _look_at_all(self) -> Steps[None]:
        for served in tuple(self._served.values()):
            mark = yield from self._mark(served.tls)
            if mark != served.mark:
                served.mark = mark
                yield from self._renew(served)
        now = self._reactor.seconds()
        if now >= self._judge_at:
            self._judge_at = now + JUDGE_EVERY
            yield from self._problems.telling(
                [
                    (served.mapping, each)
                    for served in self._served.values()
                    for each in served.certificates
                ],
                self._wall.now(),
            )

    def _mark(self, tls: TLS) -> Steps[object]:
        stamps = yield from stamping(tls)
        return stamps, self._keys.get(prefix_of(tls))

    def _renew(self, served: Served) -> Steps[None]:
        """Use what files and keys hold now, if all of it is valid."""
        try:
            material = yield from self._read(served.tls, served.mapping)
            if material is None or material == served.material:
                served.error = ""
                return
            server = yield from building(served.tls, material, self._wall.now)
        except ConfigError as error:
            self._failed(served, str(error))
            return
        served.material, served.error = material, ""
        served.server = server
        self._use(served)
        self._log.info(
            "{mapping}: the certificates of {source} have changed: {count} in use",
            mapping=served.mapping,
            source=served.tls.certificates,
            count=len(server.certificates),
        )

    def _failed(self, served: Served, error: str) -> None:
        if error != served.error:
            self._log.error(
                "{error}; {meanwhile}",
                error=error,
                meanwhile="its clients wait"
                if served.server is None
                else "the certificates read before stay in use",
            )
        served.error = error

    # Reading.

    def _load(self, tls: TLS, mapping: str) -> Steps[Served]:
        """Read the files of TLS options; what Consul has is not waited for.

        :raises ConfigError: they cannot be used.
        """
        before = self._served.get(tls)
        if prefix_of(tls):
            verification(tls, with_authorities(mapping, tls, ()))
            # The next look reads the keys, and the files again.
            return evolve(before or Served(tls, mapping), mapping=mapping, mark=None)
        mark = yield from self._mark(tls)
        material = yield from reading(mapping, tls)
        if before is not None and before.material == material:
            # Sessions with this server can be resumed.
            return evolve(before, mapping=mapping, mark=mark, error="")
        server = yield from building(tls, material, self._wall.now)
        return Served(tls, mapping, mark, material, server)

    def _read(self, tls: TLS, mapping: str) -> Steps[Material | None]:
        """Read files, or take Consul's last answer; None without one.

        :raises ConfigError: a file cannot be read, or there is no key.
        """
        prefix = prefix_of(tls)
        if not prefix:
            return (yield from reading(mapping, tls))
        keys = self._keys.get(prefix)
        return None if keys is None else material_of(mapping, tls, keys)

    def _use(self, served: Served) -> None:
        self._served[served.tls] = served
        self._judge_at = -inf
        if served.server is not None and served.material is not None:
            self._data_plane.use_certificates(
                served.tls, served.material, served.server
            )

    def _watch_keys(self) -> None:
        """Watch the prefixes that mappings name, and no others."""
        wanted = {prefix_of(each) for each in self._served} - {""}
        for gone in self._watches.keys() - wanted:
            self._watches.pop(gone).disownServiceParent()
            self._keys.pop(gone, None)
        for prefix in sorted(wanted - self._watches.keys()):
            watch = self._watches[prefix] = KeyWatch(
                self._reactor, self._client, self._chance, prefix, self._on_keys
            )
            watch.setServiceParent(self)

    def _on_keys(self, prefix: str, found: tuple[KeyValue, ...]) -> None:
        """Called by a watch: the keys are not those of the last answer."""
        if prefix in self._watches:
            self._keys[prefix] = found
            self._look()


def named(mappings: Iterable[Mapping]) -> dict[TLS, str]:
    """The TLS options of these mappings, each with the first mapping that has them."""
    found: dict[TLS, str] = {}
    for each in mappings:
        if each.tls.certificates:
            found.setdefault(each.tls, str(each))
    return found


def prefix_of(tls: TLS) -> str:
    """The prefix of keys in Consul with the certificates; empty if files have them."""
    if not tls.certificates.startswith("consul:"):
        return ""
    return tls.certificates.removeprefix("consul:").strip("/")


def material_of(mapping: str, tls: TLS, keys: Iterable[KeyValue]) -> Material:
    """What Consul's keys hold, with the files of client authorities.

    :raises ConfigError: there is no key, or a file cannot be read.
    """
    where = f"{mapping}: tls"
    texts = tuple(
        PEMText(where, f"consul:{each.key}", each.value, each.index) for each in keys
    )
    if not texts:
        raise ConfigError(
            f"{where} {tls.certificates}: there is no such key, or ACLs hide it from"
            " the token"
        )
    return with_authorities(mapping, tls, texts)
