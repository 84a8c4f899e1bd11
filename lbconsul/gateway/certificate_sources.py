"""Where the certificates of TLS options are: in files, or in Consul's keys."""

from collections.abc import Iterable

from lbconsul.config.model import TLS, Mapping
from lbconsul.consul.key_watch import KeyValue
from lbconsul.errors import ConfigError
from lbconsul.tls.material import Material, PEMText, with_authorities


def tls_options(mappings: Iterable[Mapping]) -> dict[TLS, str]:
    """The TLS options of these mappings, each with the first mapping that has them."""
    found: dict[TLS, str] = {}
    for each in mappings:
        if each.tls.certificates:
            found.setdefault(each.tls, str(each))
    return found


def key_prefix(tls: TLS) -> str:
    """The prefix of keys in Consul with the certificates; empty if files have them."""
    if not tls.certificates.startswith("consul:"):
        return ""
    return tls.certificates.removeprefix("consul:").strip("/")


def material_from_keys(mapping: str, tls: TLS, keys: Iterable[KeyValue]) -> Material:
    """What Consul's keys hold, with the files of client authorities.

    :raises ConfigError: there is no key, or a file cannot be read.
    """
    where = f"{mapping}: tls"
    texts = tuple(
        PEMText(where, f"consul:{each.key}", each.value, each.index) for each in keys
    )
    if not texts:
        raise ConfigError(
            f"{where} {tls.certificates}: there is no such key, or ACLs hide it from"
            " the token"
        )
    return with_authorities(mapping, tls, texts)
