"""The options of a mapping for HTTP mode."""

from lbconsul.config import address_values, http_values, sizes, values
from lbconsul.config.compression_options import COMPRESSION_OPTIONS
from lbconsul.config.option import Option

HTTP_OPTIONS = (
    Option(
        "head-timeout",
        values.duration,
        "how long a client may take for the head of a request, from its first byte"
        " [10s]",
        field="http.head_timeout",
    ),
    Option(
        "keepalive-timeout",
        values.duration,
        "close a client's connection on which no request came for this long [60s]",
        field="http.keepalive_timeout",
    ),
    Option(
        "response-timeout",
        values.duration_or_off,
        "how long an instance may take until its response begins [60s]",
        field="http.response_timeout",
    ),
    Option(
        "request-timeout",
        values.duration_or_off,
        "how long a request and its response may take as a whole [off]",
        field="http.request_timeout",
    ),
    Option(
        "max-head",
        sizes.size(1 << 10, 128 << 10),
        "the largest head of a request: 1KiB to 128KiB [32KiB]",
        field="http.max_head",
    ),
    Option(
        "max-uri",
        sizes.size(256, 64 << 10),
        "the longest URI of a request: 256 bytes to 64KiB [8KiB]",
        field="http.max_uri",
    ),
    Option(
        "max-body",
        sizes.size_or_off(),
        "the largest body of a request, such as 10MiB [off]",
        field="http.max_body",
    ),
    Option(
        "min-rate",
        sizes.rate_or_off,
        "end a request whose body, or whose response, is slower than this, such as"
        " 500/s or 1KiB/s [off]",
        field="http.min_rate",
    ),
    Option(
        "keep-idle",
        values.whole(0, 10_000),
        "how many idle connections to each instance to keep for further requests, in"
        " each process [100]",
        field="http.keep_idle",
    ),
    Option(
        "keep-idle-time",
        values.duration,
        "how long to keep them; less than instances do, of which Node closes after 5s"
        " [4s]",
        field="http.keep_idle_time",
    ),
    Option(
        "retry-on",
        http_values.retry_on,
        "try another instance for these responses, if the request may be repeated:"
        " some of 502,503,504,timeout; or off [off]",
        field="http.retry_on",
    ),
    Option(
        "trusted-proxies",
        address_values.networks,
        "networks of proxies in front whose X-Forwarded-* fields are believed:"
        " 10.0.0.0/8,::1",
        field="http.trusted_proxies",
    ),
    Option(
        "forwarded",
        values.switch,
        "whether to send instances the field Forwarded, too: on or off [off]",
        field="http.forwarded",
    ),
    Option(
        "via",
        values.switch,
        "whether to add to the field Via, in both directions: on or off [off]",
        field="http.via",
    ),
    Option(
        "upstream-host",
        http_values.upstream_host,
        "the Host for instances: keep the client's, address for the instance's, or a"
        " name [keep]",
        field="http.upstream_host",
    ),
    Option(
        "traceparent",
        values.switch,
        "whether to add traceparent to requests without one: on or off [off]",
        field="http.traceparent",
    ),
    Option(
        "client-cert-headers",
        values.switch,
        "whether to tell instances of clients' certificates, in fields that begin with"
        " X-SSL-Client-: on or off [off]",
        field="http.client_cert",
    ),
    Option(
        "server-timing",
        values.switch,
        "whether to tell clients in Server-Timing where the time went: on or off [off]",
        field="http.server_timing",
    ),
    Option(
        "log-fields",
        http_values.log_fields,
        "header fields that the access log shows as well:"
        " request:x-tenant,response:x-cache; or off [off]",
        field="http.log_fields",
    ),
    Option(
        "basic-auth",
        http_values.password_file,
        "serve only users in this file, whose passwords htpasswd -B has hashed, or off"
        " [off]",
        field="http.basic_auth",
    ),
    Option(
        "basic-auth-realm",
        http_values.realm,
        "what users are told to log in to [Restricted]",
        field="http.realm",
    ),
    Option(
        "eject-5xx",
        values.whole(0, 1000),
        "eject an instance after this many consecutive responses 5xx or timeouts; 0:"
        " never [0]",
        field="http.eject_5xx",
    ),
    *COMPRESSION_OPTIONS,
)
