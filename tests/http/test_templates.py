"""Texts with variables."""

from lbconsul.config.rewriting import HEADER_VARIABLES
from lbconsul.http.fields import Fields
from lbconsul.http.host import read_host
from lbconsul.http.templates import Template, Variables, request_variables

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


def _variables(fields: Fields) -> Variables:
    return request_variables(
        fields,
        client="::1",
        scheme="https",
        request_id=b"r",
        service="caf\xe9",
        route="a/b",
    )


def test_request_variables() -> None:
    """A request has all the variables that an option may name."""
    fields = Fields(b"\r\n", 1)
    fields.host = read_host(b"A.com:80")
    found = _variables(fields)
    assert found == {
        b"client": b"::1",
        b"host": b"A.com:80",
        b"request_id": b"r",
        b"route": b"a/b",
        b"scheme": b"https",
        b"service": "caf\xe9".encode(),
    }
    assert [name.decode() for name in found] == list(HEADER_VARIABLES)
    assert _variables(Fields(b"\r\n", 0))[b"host"] == b""
