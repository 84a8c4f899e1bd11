"""Texts with variables, made ready once for many requests.  Pure."""

from collections.abc import Mapping

from attrs import frozen

from lbconsul.config.rewriting import split_variables
from lbconsul.http.fields import Fields

#: The values of variables, by their names without the dollar.
Variables = Mapping[bytes, bytes]


@frozen
class Template:
    """A text with variables, as `split_variables` reads it."""

    #: For ``%``, which takes the values from a mapping.
    _format: bytes
    #: The text itself if it has no variables.
    _constant: bytes | None
    #: The names of its variables.
    names: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Template":
        """The template of a text."""
        first, *rest = split_variables(text.replace("%", "%%"))
        made = first + "".join(
            f"%({name})b{literal}"
            for name, literal in zip(rest[::2], rest[1::2], strict=True)
        )
        constant = None if rest else made.replace("%%", "%").encode()
        return cls(made.encode(), constant, frozenset(rest[::2]))

    def filled(self, variables: Variables) -> bytes:
        """The text with the values of its variables."""
        if self._constant is not None:
            return self._constant
        return self._format % variables


def request_variables(
    fields: Fields,
    *,
    client: str,
    scheme: str,
    request_id: bytes,
    service: str,
    route: str,
) -> Variables:
    """The variables of header fields, for a request with these `fields`.

    `client` and `scheme` are what `ClientHeaders` says of it.
    """
    return {
        b"client": client.encode(),
        b"host": b"" if fields.host is None else fields.host.text,
        b"request_id": request_id,
        b"route": route.encode(),
        b"scheme": scheme.encode(),
        b"service": service.encode(),
    }
