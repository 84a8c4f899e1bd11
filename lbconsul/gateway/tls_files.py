"""Checks the files of mappings' TLS options before anything depends on them."""

from collections.abc import Iterable, Iterator

from lbconsul.config.model import Mapping


def checking_files(mappings: Iterable[Mapping]) -> Iterator[bool]:
    """Read the files of these mappings, in steps that say whether they were long.

    :raises ConfigError: a file cannot be used.
    """
    checked = set[object]()
    for mapping in mappings:
        own, upstreams = mapping.tls, mapping.upstream_tls
        # Imported here: OpenSSL takes memory that other gateways do without.
        if _has_files(mapping) and own not in checked:
            from lbconsul.proxy.server_tls import read_server_tls

            read_server_tls(mapping)
            checked.add(own)
            yield True
        if upstreams.is_on and upstreams not in checked:
            from lbconsul.proxy.upstream_tls import read_upstream_tls

            read_upstream_tls(mapping)
            checked.add(upstreams)
            yield True


def _has_files(mapping: Mapping) -> bool:
    certificates = mapping.tls.certificates
    return bool(certificates) and not certificates.startswith("consul:")


def check_files(mappings: Iterable[Mapping]) -> None:
    """The same at once."""
    for _ in checking_files(mappings):
        pass
