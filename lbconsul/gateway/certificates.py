"""The certificates of a gateway: read at the start, and again when they change.

The data plane gets all certificates of a mapping at once, and only if all are valid;
those before stay in use until then.  So does the admin listener.
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
from lbconsul.errors import ConfigError
from lbconsul.gateway.certificate_keys import CertificateKeys
from lbconsul.gateway.certificate_problems import CertificateProblems
from lbconsul.gateway.certificate_sources import (
    key_prefix,
    material_from_keys,
    tls_options,
)
from lbconsul.gateway.interfaces import CertificateUser
from lbconsul.gateway.served_certificates import ServedCertificates
from lbconsul.net.periodic import repeat
from lbconsul.process.clock import WallClock
from lbconsul.steps import Steps, finish
from lbconsul.tls.material import (
    Material,
    building,
    reading,
    stamping,
    verification,
    with_authorities,
)

#: How often it is looked whether files have changed, in seconds.
LOOK_EVERY = 10.0

#: How often certificates that have not changed are checked for problems, such as that
#: they expire soon, in seconds.
CHECK_EVERY = 600.0


@define(eq=False, repr=False)
class Certificates(MultiService):
    """Gives a data plane what the files and keys of its mappings hold."""

    _log = Logger()
    _reactor: Any
    _data_plane: CertificateUser
    _client: ConsulClient
    _chance: Callable[[], float]
    _served: dict[TLS, ServedCertificates] = Factory(dict)
    #: When certificates are checked for problems again, by the reactor's clock.
    _check_at: float = -inf
    _problems: CertificateProblems = Factory(CertificateProblems)
    _wall: WallClock = Factory(
        lambda self: WallClock(self._reactor.seconds), takes_self=True
    )
    _looking: LoopingCall | None = field(init=False, default=None)
    #: The steps still to do of a look, and whether another one is to follow.
    _steps: Steps[None] | None = field(init=False, default=None)
    _is_due: bool = field(init=False, default=False)
    _keys: CertificateKeys = Factory(
        lambda self: CertificateKeys(
            self._reactor, self._client, self._chance, self._look
        ),
        takes_self=True,
    )

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._keys.setServiceParent(self)

    def of(self, tls: TLS) -> ServedCertificates | None:
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
            # The caller names the mapping.
            return served.error.removeprefix(f"{served.mapping}: ")
        error = self._keys.error(key_prefix(served.tls))
        why = f": {error}" if error else " yet"
        return f"no answer for {served.tls.certificates}{why}"

    def add(self, mapping: Mapping) -> None:
        """Read and use the certificates of one more mapping.

        :raises ConfigError: they cannot be used.
        """
        self.add_options(mapping.tls, str(mapping))

    def add_options(self, tls: TLS, name: str) -> None:
        """Read and use the certificates of TLS options, those of a mapping or `name`.

        :raises ConfigError: they cannot be used.
        """
        if tls.certificates and tls not in self._served:
            self._use(finish(self._load(tls, name)))
            self._watch_keys()

    def loading(self, mappings: Iterable[Mapping]) -> Steps[list[ServedCertificates]]:
        """Read the certificates of all these mappings again, in steps.

        :raises ConfigError: some cannot be used; all stays as it is.
        """
        loaded = []
        for tls, mapping in tls_options(mappings).items():
            loaded.append((yield from self._load(tls, mapping)))
        return loaded

    def use_only(self, loaded: Iterable[ServedCertificates]) -> None:
        """Use what `loading` returned, and forget what the mappings need no more."""
        self._stop_looking()
        before, self._served = self._served, {}
        for each in loaded:
            old = before.get(each.tls)
            if old is not None and old.server is each.server:
                self._served[each.tls] = each
            else:
                self._use(each)
                if old is not None:
                    self._log.info("{line}", line=each.change_since(old.material))
        self._data_plane.drop_certificates(self._served)
        self._watch_keys()
        if self.running:
            self._look()  # keys may have changed meanwhile

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client, if it asks otherwise than the last one."""
        self._keys.use_client(client)

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
            stamp = yield from self._stamp(served.tls)
            if stamp != served.stamp:
                served.stamp = stamp
                yield from self._renew(served)
        now = self._reactor.seconds()
        if now >= self._check_at:
            self._check_at = now + CHECK_EVERY
            yield from self._problems.reporting(
                [
                    each
                    for served in self._served.values()
                    for each in served.may_expire()
                ],
                self._wall.now(),
            )

    def _stamp(self, tls: TLS) -> Steps[object]:
        stamps = yield from stamping(tls)
        return stamps, self._keys.of(key_prefix(tls))

    def _renew(self, served: ServedCertificates) -> Steps[None]:
        """Use what files and keys hold now, if all of it is valid."""
        try:
            material = yield from self._read(served.tls, served.mapping)
            if material is None or material == served.material:
                self._recovered(served)
                return
            server = yield from building(served.tls, material, self._wall.now)
        except ConfigError as error:
            self._failed(served, str(error))
            return
        before, served.material, served.error = served.material, material, ""
        served.server = server
        self._use(served)
        self._log.info("{line}", line=served.change_since(before))

    def _recovered(self, served: ServedCertificates) -> None:
        """What could not be used has gone, and what is in use is there again."""
        if served.error:
            self._log.info(
                "{mapping}: the certificates of {source} are those in use again",
                mapping=served.mapping,
                source=served.tls.certificates,
            )
        served.error = ""

    def _failed(self, served: ServedCertificates, error: str) -> None:
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

    def _load(self, tls: TLS, mapping: str) -> Steps[ServedCertificates]:
        """Read the files of TLS options; what Consul has is not waited for.

        :raises ConfigError: they cannot be used.
        """
        before = self._served.get(tls)
        if key_prefix(tls):
            verification(tls, with_authorities(mapping, tls, ()))
            # The next look reads the keys, and the files again.
            before = before or ServedCertificates(tls, mapping)
            return evolve(before, mapping=mapping, stamp=None)
        stamp = yield from self._stamp(tls)
        material = yield from reading(mapping, tls)
        if before is not None and before.material == material:
            # Sessions with this server can be resumed.
            return evolve(before, mapping=mapping, stamp=stamp, error="")
        server = yield from building(tls, material, self._wall.now)
        return ServedCertificates(tls, mapping, stamp, material, server)

    def _read(self, tls: TLS, mapping: str) -> Steps[Material | None]:
        """Read files, or take Consul's last answer; None without one.

        :raises ConfigError: a file cannot be read, or there is no key.
        """
        prefix = key_prefix(tls)
        if not prefix:
            return (yield from reading(mapping, tls))
        keys = self._keys.of(prefix)
        return None if keys is None else material_from_keys(mapping, tls, keys)

    def _use(self, served: ServedCertificates) -> None:
        self._served[served.tls] = served
        self._check_at = -inf
        if served.server is not None and served.material is not None:
            self._data_plane.use_certificates(
                served.tls, served.material, served.server
            )

    def _watch_keys(self) -> None:
        self._keys.watch_only({key_prefix(each) for each in self._served} - {""})
