"""The id of an upstream in the status and in the paths of orders."""

from urllib.parse import unquote

from lbconsul.text import encoded_path

#: Datacenter, node, service id.
_PARTS = 3


def upstream_id(datacenter: str, node: str, service_id: str) -> str:
    """``datacenter/node/service_id``, each part percent-encoded."""
    return encoded_path((datacenter, node, service_id))


def from_path(segments: list[str]) -> str | None:
    """The id in the path of a request; None if the path holds no id.

    `segments` are the raw segments of the path.  The id may be one segment, encoded
    as a whole (``encodeURIComponent(id)``), which works for every service id; or three
    segments, as it is, which browsers and proxies rewrite if one is ``.`` or ``..``.
    """
    try:
        if len(segments) == 1:
            segments = _decoded(segments[0]).split("/")
        if len(segments) != _PARTS:
            return None
        datacenter, node, service_id = map(_decoded, segments)
    except UnicodeDecodeError:
        return None
    return upstream_id(datacenter, node, service_id)


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogatepass")
