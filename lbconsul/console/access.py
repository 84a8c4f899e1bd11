"""Which gateway a command asks, and with which token."""

import re
from collections.abc import Mapping as AbstractMapping
from pathlib import Path

from attrs import frozen

from lbconsul.admin.client import Admin, Connector
from lbconsul.config.sources import SourcedText
from lbconsul.config.variables import variable
from lbconsul.errors import ConfigError
from lbconsul.process.files import read_file, unreadable
from lbconsul.text import printable
from lbconsul.usage.words import Given

_DEFAULT = "127.0.0.1:9200"

#: What a gateway listens on, and a client on the same machine connects to.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}

_ADDRESS = re.compile(
    r"unix:/.+|(?:(?P<scheme>https?)://)?(?:(?P<host>[^/]+):)?(?P<port>\d+)/?"
)

_FORM = "must be [HOST:]PORT, https://[HOST:]PORT or unix:/PATH"


def access(given: Given, environ: AbstractMapping[str, str]) -> Admin:
    """The gateway that the command line names, or else the environment.

    In a gateway's container the environment names that gateway.

    :raises ConfigError: the address is none, or a file cannot be used.
    """
    said = _said("admin", given, environ) or SourcedText("--admin", _DEFAULT)
    place = _place(said)
    tls = None if place.is_unix else _tls(place, given, environ)
    address = place.address if tls is None else f"https://{place.address}"
    return Admin(address, _token(given, environ), tls)


def _said(
    name: str, given: Given, environ: AbstractMapping[str, str]
) -> SourcedText | None:
    if name in given:
        return SourcedText(f"--{name}", given.last(name))
    text = environ.get(variable(name))
    return SourcedText(variable(name), text) if text else None


@frozen
class _Place:
    """An address without its scheme: ``[HOST:]PORT`` or ``unix:/PATH``."""

    address: str
    #: ``https``, ``http``, or empty if none is given.
    scheme: str = ""

    @property
    def is_unix(self) -> bool:
        return self.address.startswith("unix:")


def _place(said: SourcedText) -> _Place:
    if said.text == "off":
        raise said.wrong("the gateway has no address to ask it at")
    match = _ADDRESS.fullmatch(said.text)
    if match is None:
        raise said.wrong(_FORM)
    if match["port"] is None:
        return _Place(said.text)
    host = _WILDCARDS.get(match["host"], match["host"])
    address = match["port"] if host is None else f"{host}:{match['port']}"
    return _Place(address, match["scheme"] or "")


def _tls(
    place: _Place, given: Given, environ: AbstractMapping[str, str]
) -> Connector | None:
    """TLS where the address, the authorities or the gateway's own environment say so.

    :raises ConfigError: a file cannot be used.
    """
    ca, cert = (_said(name, given, environ) for name in ("admin-ca", "admin-cert"))
    text = "" if "admin" in given else environ.get(variable("admin-tls"), "")
    if place.scheme == "http" or not (place.scheme or ca or cert or text):
        return None
    # Imported here: most gateways are asked without TLS.
    from lbconsul.console.tls import pinned, verified

    if text and ca is None:
        return pinned(SourcedText(variable("admin-tls"), text), cert)
    return verified(ca, cert)


def _token(given: Given, environ: AbstractMapping[str, str]) -> str:
    """The token that changes, or else, in the environment, the one that only reads."""
    return _token_of("admin-token", given, environ) or _token_of(
        "admin-read-token", given, environ
    )


def _token_of(name: str, given: Given, environ: AbstractMapping[str, str]) -> str:
    file = _said(f"{name}-file", given, environ)
    text = environ.get(variable(name), "")
    if file is not None and text and f"{name}-file" not in given:
        raise ConfigError(f"{file.where}: give a token or a token file, not both")
    if file is None:
        return _usable(text, variable(name)) if text else ""
    where = f"{file.where} {file.text}"
    try:
        return _usable(read_file(Path(file.text)).decode("utf-8").strip(), where)
    except OSError as error:
        raise unreadable(where, error) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: is not UTF-8 text") from None


def _usable(token: str, where: str) -> str:
    if not token:
        raise ConfigError(f"{printable(where)}: holds no token")
    if not token.isprintable():
        raise ConfigError(f"{printable(where)}: holds more than one line")
    return token
