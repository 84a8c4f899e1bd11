"""How workers are sent certificates."""

from lbconsul.config.model import TLS
from lbconsul.tls.material import Material, PEMText
from lbconsul.workers import published_certificates
from lbconsul.workers.messages import CertificatesChunk, read_command, write_command
from lbconsul.workers.published_certificates import PublishedCertificates

ONE, TWO = TLS("/one"), TLS("/two", client_ca="/ca")


def text(source: str, size: int = 10) -> PEMText:
    """A text of so many bytes."""
    return PEMText("web: tls", source, b"k" * size)


def test_parts() -> None:
    """Many certificates come in several commands, none of which is very long."""
    size = published_certificates._AT_ONCE // 2
    texts = tuple(text(str(number), size) for number in range(5))
    published = PublishedCertificates()
    published.put(TWO, Material(texts, text("ca"), text("crl")))
    commands = [read_command(write_command(each)) for each in published.commands(TWO)]
    assert all(isinstance(each, CertificatesChunk) for each in commands)
    chunks = [each for each in commands if isinstance(each, CertificatesChunk)]
    assert [(each.is_first, each.is_last) for each in chunks] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert [one for each in chunks for one in each.certificates] == list(texts)
    assert [each.client_ca for each in chunks] == [None, None, text("ca")]
    assert "kkk" not in repr(chunks)


def test_what_is_dropped() -> None:
    """Certificates that no mapping needs are not sent any more."""
    published = PublishedCertificates()
    published.put(ONE, Material((text("a"),)))
    published.put(TWO, Material((text("b"),)))
    published.keep_only([TWO])
    assert published.all == [TWO]
    assert list(published.commands(ONE)) == []
