"""What the TLS options of a mapping and their files say."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.proxy.server_tls import FileAcceptor, read_server_tls
from lbconsul.tls.inspection import peer_of
from lbconsul.tls.openssl import TLSError
from lbconsul.tls.stream import TLSStream
from tests.support.certificates import Authority, Issued
from tests.support.mappings import altered
from tests.support.tls import non_blocking_pair, python_client, shake_hands


class Stage:
    """Files, and the clients of a mapping that names them."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        self._held = held
        self.authority = Authority(folder)
        issued = self.authority.issue("localhost")
        self.certificates = folder / "certificates"
        self.certificates.mkdir()
        self.pem = self.certificates / "web.pem"
        self.pem.write_bytes(
            Path(issued.cert).read_bytes() + Path(issued.key).read_bytes()
        )

    def mapping(self, **options: Any) -> Mapping:
        """A mapping with the certificate."""
        return altered(Mapping("web"), **({"tls": str(self.pem)} | options))

    def connect(
        self, mapping: Mapping, *, shows: str = "", shown: Issued | None = None
    ) -> TLSStream:
        """Our stream to a client, which may show a certificate, or one of this name.

        :raises OSError: either side refuses the other.
        """
        ours, peer = non_blocking_pair()
        self._held.enter_context(peer)
        stream = read_server_tls(mapping).accept(ours)
        self._held.callback(stream.close)
        context = ssl.create_default_context(cafile=self.authority.file)
        if shows:
            shown = self.authority.issue(shows)
        if shown is not None:
            context.load_cert_chain(shown.cert, shown.key)
        shake_hands(stream, python_client(peer, context))
        return stream


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """One with a certificate."""
    with ExitStack() as held:
        yield Stage(tmp_path, held)


def test_certificate(stage: Stage) -> None:
    """A client that trusts the authority trusts the mapping."""
    stream = stage.connect(stage.mapping())
    assert peer_of(stream.connection).certificate is None


def test_folder(stage: Stage) -> None:
    """A folder of certificates serves as well."""
    stage.connect(stage.mapping(tls=str(stage.certificates)))


def test_least_version(stage: Stage) -> None:
    """The oldest version is the mapping's."""
    mapping = stage.mapping(tls_min="1.3")
    assert peer_of(stage.connect(mapping).connection).version == "TLSv1.3"


def test_client_certificate(stage: Stage) -> None:
    """With client-ca a client shows a certificate, or is refused."""
    mapping = stage.mapping(client_ca=stage.authority.file)
    certificate = peer_of(stage.connect(mapping, shows="alice").connection).certificate
    assert certificate is not None and certificate.common_name == "alice"
    with pytest.raises(TLSError, match="peer did not return a certificate"):
        stage.connect(mapping)


def test_revoked_client_certificate(stage: Stage) -> None:
    """With client-crl one that was revoked is refused."""
    mallory = stage.authority.issue("mallory")
    mapping = stage.mapping(
        client_ca=stage.authority.file, client_crl=stage.authority.revoke(mallory)
    )
    stage.connect(mapping, shows="alice")
    with pytest.raises(TLSError, match="certificate revoked"):
        stage.connect(mapping, shown=mallory)


def test_optional_client_certificate(stage: Stage) -> None:
    """With client-verify=optional it may show none."""
    mapping = stage.mapping(client_ca=stage.authority.file, client_verify="optional")
    assert peer_of(stage.connect(mapping).connection).certificate is None


@pytest.mark.parametrize(
    ("option", "name"),
    [("tls", "tls"), ("client_ca", "client-ca"), ("client_crl", "client-crl")],
)
def test_missing_file(stage: Stage, option: str, name: str) -> None:
    """A file that is not there is told with its option."""
    options = {"client_ca": stage.authority.file} | {option: "/no/such.pem"}
    with pytest.raises(ConfigError, match=f"web: {name} /no/such.pem: cannot be read"):
        read_server_tls(stage.mapping(**options))


def test_files_that_are_gone(stage: Stage) -> None:
    """If files cannot be read any more the log says so, and clients find no TLS."""
    with capturedLogs() as logs:
        acceptor = FileAcceptor(stage.mapping(tls="/no/such.pem"))
    [line] = [formatEvent(event) for event in logs]
    assert "cannot be read" in str(line)
    ours, peer = non_blocking_pair()
    with ours, peer, pytest.raises(TLSError, match="cannot be read"):
        acceptor.accept(ours)


def test_files(stage: Stage) -> None:
    """Else they are served."""
    ours, peer = non_blocking_pair()
    stream = FileAcceptor(stage.mapping()).accept(ours)
    with peer:
        shake_hands(stream, python_client(peer))
        stream.close()
