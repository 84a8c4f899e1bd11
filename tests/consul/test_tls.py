"""What is wrong with certificate files is said in one line, before anything runs."""

from pathlib import Path

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from lbconsul.config.consul import ConsulConfig
from lbconsul.consul.tls import authority_files, https_policy
from lbconsul.errors import ConfigError
from tests.support.certificates import Authority, Issued


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path)


@pytest.fixture
def own(authority: Authority) -> Issued:
    """A certificate of ours."""
    return authority.issue("gateway")


def refusal(config: ConsulConfig) -> str:
    """The line that says what is wrong with `config`."""
    with pytest.raises(ConfigError) as refused:
        https_policy(config)
    return str(refused.value)


def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    """
    A CA file that cannot be read is named with the reason.
    """
    path = tmp_path / "none.pem"
    assert refusal(ConsulConfig(ca_file=str(path))) == (
        f"--ca-file {path}: cannot be read: No such file or directory"
    )


def test_a_ca_file_without_a_certificate(tmp_path: Path) -> None:
    """
    A CA file in another format than PEM is named.
    """
    path = tmp_path / "ca.der"
    path.write_bytes(b"\x30\x82\x01\x0a")
    assert refusal(ConsulConfig(ca_file=str(path))) == (
        f"--ca-file {path}: holds no PEM certificate"
    )


def test_a_directory_of_authorities(tmp_path: Path) -> None:
    """
    Each file of a directory counts, those below it too; what is none, or none at
    all, is named; a CA file hides the directory.
    """
    folder = tmp_path / "authorities"
    (folder / "below").mkdir(parents=True)
    config = ConsulConfig(ca_path=str(folder))
    assert refusal(config) == f"--ca-path {folder}: holds no file"
    (folder / "to-itself").symlink_to(folder)
    one, two = Authority(folder, "one"), Authority(folder / "below", "two")
    assert authority_files(config) == [two.file, one.file]
    assert https_policy(config).creatorForNetloc(b"localhost", 8501)
    (folder / "README").write_text("These are ours.")
    assert refusal(config) == f"--ca-path {folder}/README: holds no PEM certificate"
    assert authority_files(evolve(config, ca_file=one.file)) == [one.file]
    missing = ConsulConfig(ca_path=f"{folder}x")
    assert refusal(missing) == (
        f"--ca-path {folder}x: cannot be read: No such file or directory"
    )


def test_files_that_others_named(own: Issued) -> None:
    """
    Where not the command line but a variable or a file named what is wrong,
    that is where the error says it stood.
    """
    places = {"ca-file": "CONSUL_CACERT", "client-cert": "CONSUL_CLIENT_CERT"}
    places["client-key"] = "lb.toml: client-key"
    assert refusal(ConsulConfig(ca_file=own.key, places=places)).startswith(
        f"CONSUL_CACERT {own.key}: "
    )
    assert refusal(ConsulConfig(client_cert=own.key, places=places)).startswith(
        f"CONSUL_CLIENT_CERT {own.key}: "
    )
    config = ConsulConfig(client_cert=own.cert, client_key=own.cert, places=places)
    assert refusal(config).startswith(f"lb.toml: client-key {own.cert}: ")


def test_a_client_certificate_that_is_none(own: Issued) -> None:
    """
    A key where the certificate should be is named as what it is not.
    """
    assert refusal(ConsulConfig(client_cert=own.key, client_key=own.key)) == (
        f"--client-cert {own.key}: holds no PEM certificate"
    )


def test_a_client_key_that_is_not_there(own: Issued) -> None:
    """
    A key file that cannot be read is named with the reason.
    """
    config = ConsulConfig(client_cert=own.cert, client_key=own.key + "x")
    assert refusal(config) == (
        f"--client-key {own.key}x: cannot be read: No such file or directory"
    )


def test_a_client_key_that_is_none(own: Issued) -> None:
    """
    A certificate where the key should be is named as what it is not.
    """
    assert refusal(ConsulConfig(client_cert=own.cert, client_key=own.cert)) == (
        f"--client-key {own.cert}: holds no PEM private key"
    )


def test_a_certificate_file_without_its_key(own: Issued) -> None:
    """
    Without a key file the key is read from the certificate's file; the error about a
    missing key names that option and file.
    """
    assert refusal(ConsulConfig(client_cert=own.cert)) == (
        f"--client-cert {own.cert}: holds no PEM private key"
    )


def test_a_client_key_under_a_passphrase(own: Issued) -> None:
    """A key under a passphrase is refused, for no operator could type it."""
    key = load_pem_private_key(Path(own.key).read_bytes(), None)
    Path(own.key).write_bytes(
        key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")
        )
    )
    assert refusal(ConsulConfig(client_cert=own.cert, client_key=own.key)) == (
        f"--client-key {own.key}, line 1: the private key is under a passphrase;"
        " store it without one"
    )


def test_a_client_key_of_another_certificate(authority: Authority) -> None:
    """
    A key that does not fit its certificate is found at the start, not at the
    first connection.
    """
    own, other = authority.issue("gateway"), authority.issue("other")
    assert refusal(ConsulConfig(client_cert=own.cert, client_key=other.key)) == (
        f"--client-key {other.key}: the private key does not fit the certificate"
        " (CN=gateway)"
    )


def test_certificate_and_key_in_one_file(own: Issued, authority: Authority) -> None:
    """
    One file with the certificate, its chain and its key will do.
    """
    parts = [Path(each).read_text() for each in (own.cert, authority.file, own.key)]
    Path(own.cert).write_text("".join(parts))
    policy = https_policy(ConsulConfig(ca_file=authority.file, client_cert=own.cert))
    assert policy.creatorForNetloc(b"localhost", 8501)


def test_no_files_at_all() -> None:
    """
    Without any file Consul's certificate is checked against the authorities
    that the system trusts.
    """
    assert https_policy(ConsulConfig()).creatorForNetloc(b"localhost", 8501)
