"""The certificates and passwords that workers use, and the commands that bring them.

The master reads them, and workers get them over their stream: all of them turn to the
same ones, whatever the user of a worker may read.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from attrs import Factory, define

from lbconsul.config.model import TLS
from lbconsul.workers.messages import CertificatesChunk, UsePasswords

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.http.htpasswd import Passwords
    from lbconsul.tls.material import Material, PEMText

#: The bytes of texts from which on a command is long enough.
_AT_ONCE = 64 * 1024


@define(eq=False)
class PublishedCertificates:
    """The certificates in use, by the TLS options that name them.

    And the passwords in use, by the paths of their files.
    """

    _materials: "dict[TLS, Material]" = Factory(dict)
    _passwords: "dict[str, Passwords]" = Factory(dict)

    @property
    def all(self) -> list[TLS | str]:
        """What is known: the options of certificates, and the paths of passwords."""
        return [*self._materials, *self._passwords]

    def put(self, tls: TLS, material: "Material") -> None:
        """These are the certificates from now on."""
        self._materials[tls] = material

    def keep_only(self, wanted: Collection[TLS]) -> None:
        """Drop the certificates of all options but these."""
        for gone in self._materials.keys() - set(wanted):
            del self._materials[gone]

    def put_passwords(self, path: str, passwords: "Passwords") -> None:
        """These are the passwords in this file from now on."""
        self._passwords[path] = passwords

    def keep_only_passwords(self, wanted: Collection[str]) -> None:
        """Drop the passwords of all files but these."""
        for gone in self._passwords.keys() - set(wanted):
            del self._passwords[gone]

    def commands(self, of: TLS | str) -> Iterator[CertificatesChunk | UsePasswords]:
        """The commands that bring a worker the certificates of these options.

        Or the passwords in the file of this path.
        """
        if isinstance(of, TLS):
            yield from self._certificates(of)
        elif of in self._passwords:
            yield UsePasswords(of, self._passwords[of])

    def _certificates(self, tls: TLS) -> Iterator[CertificatesChunk]:
        material = self._materials.get(tls)
        if material is None:  # dropped since they were due
            return
        is_first, some = True, list["PEMText"]()
        for each in material.certificates:
            if some and sum(one.size for one in some) >= _AT_ONCE:
                yield CertificatesChunk(tls, tuple(some), is_first=is_first)
                is_first, some = False, []
            some.append(each)
        yield CertificatesChunk(
            tls,
            tuple(some),
            is_first=is_first,
            is_last=True,
            client_ca=material.client_ca,
            client_crl=material.client_crl,
        )
