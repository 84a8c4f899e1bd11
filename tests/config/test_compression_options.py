"""The values of the options of compression."""

import pytest

from lbconsul.config import compression_options
from lbconsul.config.build import configure
from lbconsul.config.compression import Compression
from lbconsul.config.compression_options import codings, types
from lbconsul.errors import ConfigError


def test_values() -> None:
    """Codings in the order in which they are preferred, types, a size and a level."""
    options = "compress=br|gzip,compress-types=text/html,Application/JSON"
    others = "compress-min-size=1MiB,compress-level=9"
    [mapping] = configure(["c"], [f"80:web,mode=http,{options},{others}"]).mappings
    assert mapping.compression == Compression(
        ("br", "gzip"), ("text/html", "application/json"), 1 << 20, 9
    )
    assert codings("off") == ()


@pytest.mark.parametrize("text", ["on", "gzip|gzip", "gzip,br", "zstd", ""])
def test_wrong_codings(text: str) -> None:
    """Each of them once, in one way of writing."""
    with pytest.raises(ValueError, match=r"must be gzip, br, both as br\|gzip, or off"):
        codings(text)


def test_wrong_types() -> None:
    """A type has two parts, of which the second may be any."""
    with pytest.raises(ValueError, match="'html' must be a type such as"):
        types("text/*, html")
    with pytest.raises(ValueError, match="must have at most 100 types"):
        types(",".join(["a/b"] * (compression_options._MOST + 1)))


def test_what_it_needs() -> None:
    """Options without effect are refused."""
    with pytest.raises(ConfigError, match="=1: works only with compress="):
        configure(["c"], ["80:web,mode=http,compress-level=1"])
