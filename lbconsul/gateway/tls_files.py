"""Checks what TLS to upstreams, error pages and compression need, before they do."""

from collections.abc import Iterable
from importlib import import_module

from lbconsul.config.model import Mapping, rows
from lbconsul.errors import ConfigError
from lbconsul.http.answers import read_pages
from lbconsul.process.files import read_file
from lbconsul.steps import Steps, finish


def checking_files(mappings: Iterable[Mapping]) -> Steps[None]:
    """Read the files of these mappings and their routes, in steps.

    Each step says whether it was long.

    :raises ConfigError: a file cannot be used.
    """
    checked = set[object]()
    for mapping in rows(mappings):
        pages = mapping.rewriting.error_page
        if pages and pages not in checked:
            read_pages(str(mapping), pages, read_file)
            checked.add(pages)
            yield True
        if "br" in mapping.compression.codings and mapping.mode == "http":
            _check_brotli(mapping)
        upstreams = mapping.upstream_tls
        if upstreams.is_on and upstreams not in checked:
            # Imported here: OpenSSL takes memory that other gateways do without.
            from lbconsul.proxy.upstream_tls import read_upstream_tls

            read_upstream_tls(mapping)
            checked.add(upstreams)
            yield True


def _check_brotli(mapping: Mapping) -> None:
    try:
        import_module("brotli")
    except ImportError:
        raise ConfigError(
            f"{mapping}: compress: br needs the package brotli: pip install"
            " 'lbconsul[brotli]'; or use compress=gzip"
        ) from None


def check_files(mappings: Iterable[Mapping]) -> None:
    """The same at once."""
    finish(checking_files(mappings))
