"""Texts with variables."""

from lbconsul.http.templates import Template

VALUES = {b"host": b"a%b", b"path": b"/%(host)s$host"}


def test_filled() -> None:
    """Variables are replaced once, and nothing else is."""
    template = Template.of("100% of $host$path $$5 %(host)b")
    assert template.filled(VALUES) == b"100% of a%b/%(host)s$host $5 %(host)b"
    assert template.names == {"host", "path"}


def test_constant() -> None:
    """A text without variables is itself."""
    template = Template.of("100% $$5 %(host)b")
    assert template.filled({}) == b"100% $5 %(host)b"
    assert not template.names
