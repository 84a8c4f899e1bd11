"""Certificates of rows with TLS."""

from pathlib import Path

from tests.support.certificates import Authority, together


class Site:
    """An authority, and what it issued."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = Authority(folder)
        #: The path of the authority's certificate.
        self.authority = self._authority.file
        #: The path of the gateway's certificate and key.
        self.pem = self.issue("gateway")

    def issue(self, name: str, *addresses: str) -> str:
        """The path of a certificate with its key."""
        issued = self._authority.issue(name, *addresses)
        return together(self._folder / f"{name}.both.pem", issued.cert, issued.key)
