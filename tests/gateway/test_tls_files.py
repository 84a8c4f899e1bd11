"""Files of TLS to upstreams and of error pages, checked before they are needed."""

from pathlib import Path
from unittest.mock import patch

import pytest
from attrs import evolve

from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.gateway.tls_files import check_files
from lbconsul.service import Gateway
from tests.support.certificates import Authority
from tests.support.mappings import altered
from tests.support.ports import free_ports
from tests.support.running_gateway import Started
from tests.support.running_proxy import ReactorThread


def test_each_once(tmp_path: Path) -> None:
    """Mappings with the same options cost one look at the files, others none."""
    authority = Authority(tmp_path)
    secure = altered(
        Mapping("web"),
        upstream_tls=True,
        upstream_ca=authority.file,
    )
    mappings = [Mapping("mail"), secure, evolve(secure, service="api")]
    with patch("lbconsul.proxy.upstream_tls.read_upstream_tls") as read:
        check_files(mappings)
    assert read.call_count == 1
    check_files(mappings)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("upstream-tls=on,upstream-ca=", "upstream-ca"),
        ("tls=", "tls"),
        ("mode=http,error-page=503:", "error-page"),
    ],
)
def test_at_the_start(
    running: ReactorThread, no_consul: str, tmp_path: Path, options: str, named: str
) -> None:
    """A gateway whose files cannot be used does not start."""
    file = tmp_path / "none.html"
    with pytest.raises(ConfigError, match=f"^80:web: {named} {file}: cannot be read"):
        Gateway(running.reactor, configure([no_consul], [f"80:web,{options}{file}"]))


def test_at_a_reload(running: ReactorThread, no_consul: str, tmp_path: Path) -> None:
    """A reload with a file that cannot be used changes nothing."""
    [port] = free_ports(1)
    trusted = Path(Authority(tmp_path).file)
    words = f"127.0.0.1:{port}:web,upstream-tls=on,upstream-ca={trusted}"
    config = configure([no_consul], [words])
    gateway = Gateway(running.reactor, config)
    with Started(running, gateway):
        trusted.write_text("nothing")
        with pytest.raises(ConfigError, match="holds no PEM certificate"):
            running.call(gateway.reload, config)
        assert gateway.config is config


def test_error_pages(tmp_path: Path) -> None:
    """Each page has to be a file of 64 KiB or less."""
    page = tmp_path / "sorry.html"
    page.write_bytes(b"a" * 65536)
    mappings = configure(
        mappings=[f"{port}:web,mode=http,error-page=503:{page}" for port in (80, 81)]
    ).mappings
    check_files(mappings)
    page.write_bytes(b"a" * 65537)
    with pytest.raises(ConfigError) as raised:
        check_files(mappings)
    assert str(raised.value) == (
        f"80:web: error-page {page}: cannot be read: longer than 65536 bytes"
    )
