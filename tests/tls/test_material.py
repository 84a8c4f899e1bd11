"""What the TLS options of a mapping and their files say."""

import pickle
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.steps import finish
from lbconsul.tls import material
from lbconsul.tls.errors import TLSError
from lbconsul.tls.inspection import peer_of
from lbconsul.tls.material import PEMText, reading, stamping
from lbconsul.tls.server import TLSServer
from lbconsul.tls.stream import TLSStream
from tests.support.certificates import Authority, Issued
from tests.support.mappings import altered
from tests.support.tls import acceptor_of, non_blocking_pair, python_client, shake_hands


def read_server_tls(mapping: Mapping) -> TLSServer:
    """What serves the clients of a mapping, by its files."""
    server = acceptor_of(mapping)
    assert server is not None
    return server


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

    def connect(self, mapping: Mapping, *, shown: Issued | None = None) -> TLSStream:
        """Our stream to a client, which may show a certificate.

        :raises OSError: either side refuses the other.
        """
        ours, peer = non_blocking_pair()
        self._held.enter_context(peer)
        stream = read_server_tls(mapping).accept(ours)
        self._held.callback(stream.close)
        context = ssl.create_default_context(cafile=self.authority.file)
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
    alice = stage.authority.issue("alice")
    certificate = peer_of(stage.connect(mapping, shown=alice).connection).certificate
    assert certificate is not None and certificate.common_name == "alice"
    with pytest.raises(TLSError, match="peer did not return a certificate"):
        stage.connect(mapping)


def test_revoked_client_certificate(stage: Stage) -> None:
    """With client-crl one that was revoked is refused."""
    mallory = stage.authority.issue("mallory")
    mapping = stage.mapping(
        client_ca=stage.authority.file, client_crl=stage.authority.revoke(mallory)
    )
    stage.connect(mapping, shown=stage.authority.issue("alice"))
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


def test_an_authority_without_a_list(stage: Stage, tmp_path: Path) -> None:
    """Each authority needs a list: OpenSSL would refuse all of its certificates."""
    other = Authority(tmp_path, "other")
    mapping = stage.mapping(client_ca=stage.authority.file, client_crl=other.revoke())
    with pytest.raises(ConfigError) as refused:
        read_server_tls(mapping)
    assert str(refused.value) == (
        f"web: client-crl {tmp_path}/other.crl: holds no list of CN=authority, which"
        " is in client-ca"
    )


def test_bounds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with too many files, or too long ones, is refused."""
    mapping = stage.mapping(tls=str(stage.certificates))
    monkeypatch.setattr(material, "MOST_BYTES", 100)
    with pytest.raises(ConfigError, match="holds more than 100 bytes"):
        read_server_tls(mapping)
    monkeypatch.setattr(material, "MOST_CERTIFICATES", 0)
    with pytest.raises(ConfigError, match=r"holds more than 0 \*.pem files"):
        read_server_tls(mapping)


def test_stamps(stage: Stage) -> None:
    """A change of any file that the options name is noticed without reading it."""
    mapping = stage.mapping(
        client_ca=stage.authority.file, client_crl=stage.authority.revoke()
    )

    def stamps() -> object:
        return finish(stamping(mapping.tls))

    for path in (
        stage.pem,
        *map(Path, (mapping.tls.client_ca, mapping.tls.client_crl)),
    ):
        before = stamps()
        assert before == stamps()
        path.write_bytes(path.read_bytes() + b"#")
        assert before != stamps()


def test_key_beside_the_certificate(stage: Stage) -> None:
    """A key may be in a file of its own, FILE.key, whose changes are noticed; a key in
    the certificate's file comes first.
    """
    issued, other = (stage.authority.issue("localhost") for _ in range(2))
    key = stage.certificates / "web.pem.key"
    key.write_text("what is not looked at")
    stage.connect(stage.mapping())
    stage.pem.write_bytes(Path(issued.cert).read_bytes())
    key.write_bytes(Path(issued.key).read_bytes())
    for mapping in (stage.mapping(), stage.mapping(tls=str(stage.certificates))):
        stage.connect(mapping)
        before, texts = finish(stamping(mapping.tls)), finish(reading("w", mapping.tls))
        assert "PRIVATE" not in repr(texts)
        key.write_bytes(Path(other.key).read_bytes())
        assert before != finish(stamping(mapping.tls))
        assert texts != finish(reading("w", mapping.tls))
        key.write_bytes(Path(issued.key).read_bytes())


def test_errors_of_a_key_beside_the_certificate(stage: Stage) -> None:
    """An error names the file that it is about."""
    issued = stage.authority.issue("localhost")
    key, begin = Path(f"{stage.pem}.key"), f"web: tls {stage.pem}"
    stage.pem.write_bytes(Path(issued.cert).read_bytes())

    def refused() -> str:
        with pytest.raises(ConfigError) as error:
            read_server_tls(stage.mapping())
        return str(error.value)

    assert refused() == f"{begin}: holds no PEM private key"
    key.write_bytes(b"")
    assert refused() == f"{begin}.key: holds no PEM private key"
    key.write_bytes(b"\n-----BEGIN PRIVATE KEY-----\n")
    assert refused() == f"{begin}.key, line 2: BEGIN PRIVATE KEY without its END"
    key.unlink()
    key.mkdir()
    assert refused() == f"{begin}.key: cannot be read: Is a directory"


def test_secrets(stage: Stage) -> None:
    """Keys are in no representation; another process can be sent the texts."""
    texts = finish(reading("web", stage.mapping().tls))
    assert "PRIVATE" not in repr(texts)
    assert b"PRIVATE KEY" in texts.certificates[0].content
    assert pickle.loads(pickle.dumps(texts)) == texts
    assert "PRIVATE" not in repr(PEMText("web", "x", b"-----BEGIN PRIVATE KEY-----"))
