"""``--check``: what is wrong with the certificates of a configuration."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from attrs import Factory, define, evolve

from lbconsul.config.model import TLS, Mapping
from lbconsul.consul.key_watch import KeyValue
from lbconsul.errors import ConfigError
from lbconsul.gateway.certificate_sources import (
    key_prefix,
    material_from_keys,
    tls_options,
)
from lbconsul.gateway.tls_files import check_files
from lbconsul.steps import finish
from lbconsul.tls.material import (
    Material,
    PEMText,
    building,
    certificate_files,
    reading_certificates,
    verification,
    with_authorities,
)


@define
class CertificateCheck:
    """Looks at every file, though one before it cannot be used."""

    #: The wall clock, in seconds since the epoch.
    _now: Callable[[], float]
    #: What cannot be served, or is not valid now: a line for each.
    errors: list[str] = Factory(list)
    #: What can be served, though clients may refuse it, or will soon.
    warnings: list[str] = Factory(list)

    def check(self, mappings: Collection[Mapping], admin: TLS | None = None) -> None:
        """Check the files of these mappings, and of the admin listener's options.

        What Consul has is not asked for.
        """
        options = tls_options(mappings)
        if admin is not None and admin.certificates:
            options.setdefault(admin, "admin")
        for tls, mapping in options.items():
            with self._noting():
                self._check_clients(tls, mapping)
            if not key_prefix(tls):
                self._check_files(tls, mapping)
        for each in mappings:
            with self._noting():
                check_files([each])

    def check_keys(self, tls: TLS, mapping: str, keys: Iterable[KeyValue]) -> int:
        """Check the certificates that Consul has; returns how many are valid now."""
        alone, texts = _alone(tls), tuple[PEMText, ...]()
        with self._noting():
            texts = material_from_keys(mapping, alone, keys).certificates
        return sum(self._check(alone, mapping, each) for each in texts)

    def _check_clients(self, tls: TLS, mapping: str) -> None:
        found = verification(tls, with_authorities(mapping, tls, ()))
        if found is not None:
            where = f"{mapping}: client-crl {tls.client_crl}"
            (self.warnings if found.is_valid(self._now()) else self.errors).extend(
                f"{where}: {each}" for each in found.problems(self._now())
            )

    def _check_files(self, tls: TLS, mapping: str) -> None:
        with self._noting():
            where = f"{mapping}: tls"
            for file in certificate_files(where, tls.certificates):
                with self._noting():
                    (text,) = finish(reading_certificates(where, file))
                    self._check(_alone(tls), mapping, text)

    def _check(self, tls: TLS, mapping: str, text: PEMText) -> bool:
        """Check one certificate; returns whether it can be served, and is valid now."""
        is_valid = False
        with self._noting():
            server = finish(building(tls, Material((text,)), self._now))
            [certificate] = server.certificates
            is_valid = certificate.is_valid(self._now())
            (self.warnings if is_valid else self.errors).extend(
                f"{mapping}: {each}" for each in certificate.problems(self._now())
            )
        return is_valid

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note an error, and go on behind the block."""
        try:
            yield
        except ConfigError as error:
            self.errors.append(str(error))


def _alone(tls: TLS) -> TLS:
    return evolve(tls, client_ca="", client_crl="")
