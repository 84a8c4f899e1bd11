"""How responses are compressed in HTTP mode, as a frozen value."""

from attrs import frozen

#: What is worth it: text in a wide sense.  Pictures, films and archives are compressed
#: already.
_TYPES = (
    "text/*",
    "application/atom+xml",
    "application/geo+json",
    "application/graphql-response+json",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/problem+json",
    "application/rss+xml",
    "application/vnd.api+json",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/xhtml+xml",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
)


@frozen
class Compression:
    """Which responses are compressed, and how."""

    #: Of ``br`` and ``gzip``; of those that a client likes as well the first is taken.
    #: Empty: none is compressed.
    codings: tuple[str, ...] = ()
    #: Types of content; ``text/*`` is all of text but ``text/event-stream``.
    types: tuple[str, ...] = _TYPES
    #: Bytes from which on a response is worth it.
    least: int = 1 << 10
    #: From 1, the fastest, to 9.
    level: int = 4
