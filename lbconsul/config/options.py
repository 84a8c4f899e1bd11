"""The table of options: their names, meanings and parsers.

The command line, the mapping grammar and the TOML file share it, so they cannot differ.
"""

from lbconsul.config import address_values, grammar, sizes, values
from lbconsul.config.mapping_options import MAPPING_OPTIONS
from lbconsul.config.option import Option, table

LOG_FORMATS = ("json", "text")

#: The least log file size: a smaller file would be rotated after some hundred lines.
_LEAST_LOG_SIZE = 64 << 10

#: How to reach Consul.
CONSUL_OPTIONS = table(
    Option("token", values.printable, "ACL token; a file is safer"),
    Option(
        "token-file",
        values.printable,
        "file that holds the ACL token; read again on change",
    ),
    Option(
        "http-auth",
        values.printable,
        "USER or USER:PASSWORD of HTTP basic authentication, for a proxy before"
        " Consul; the TOML file or CONSUL_HTTP_AUTH is safer",
    ),
    Option(
        "ca-file", values.printable, "PEM file of the authorities to trust for Consul"
    ),
    Option(
        "ca-path",
        values.printable,
        "directory of such files, all of which are read; ca-file overrides it",
    ),
    Option(
        "tls-server-name",
        address_values.server_name,
        "name to ask for and to verify in Consul's certificate, not the address's",
    ),
    Option(
        "client-cert",
        values.printable,
        "PEM file of the certificate to present to Consul",
    ),
    Option("client-key", values.printable, "PEM file of that certificate's key"),
    Option("verify", values.switch, "whether to verify Consul's certificate [on]"),
    Option("namespace", values.name, "Consul Enterprise namespace"),
    Option("partition", values.name, "Consul Enterprise admin partition"),
    Option(
        "consul-wait",
        values.duration_between(1.0, 600.0),
        "how long Consul may hold a query until something changes; the gateway gives up"
        " a query that hangs after this, a sixteenth more and 5s [30s]",
    ),
)

#: Options of the gateway as a whole.
GATEWAY_OPTIONS = table(
    Option(
        "state-dir",
        values.printable,
        "directory for Consul's last good answers, for a start while Consul is away",
    ),
    Option(
        "shutdown-grace",
        values.duration_or_off,
        "how long to go on accepting after SIGTERM, until balancers in front notice"
        " [off]",
    ),
    Option(
        "takeover",
        address_values.socket_path,
        "UNIX socket over which to take the listening sockets from a running gateway,"
        " and to hand them to the next one",
    ),
    Option(
        "connection-log",
        values.switch,
        "whether to log one line per connection: on or off [on]",
    ),
    Option(
        "log-format",
        values.one_of(LOG_FORMATS),
        "text, or json: one object per line, with all fields [text]",
    ),
    Option(
        "log-file",
        values.printable,
        "file to log to; reopened when it was renamed or removed, as by logrotate",
    ),
    Option(
        "log-file-size",
        sizes.size_or_off(_LEAST_LOG_SIZE),
        "rotate the log file before it exceeds this size, such as 512KiB; or off"
        " [10MiB]",
    ),
    Option(
        "log-file-keep",
        values.whole(1, 100),
        "how many rotated files to keep: FILE.1 is the latest [5]",
    ),
    Option(
        "admin",
        grammar.admin,
        "where to serve status, metrics and a page: [ADDRESS:]PORT, unix:/PATH or off;"
        " without an address this machine only [127.0.0.1:9200]",
    ),
    Option(
        "admin-token-file",
        values.printable,
        "file that holds the token for orders on the admin listener (drain, undrain,"
        " eject), and for reading; without it they are refused",
    ),
    Option(
        "admin-token",
        values.printable,
        "that token itself, for LBCONSUL_ADMIN_TOKEN in a container's environment; a"
        " file is safer",
    ),
    Option(
        "admin-read-token-file",
        values.printable,
        "file that holds a token for reading alone, where reading needs one, as for"
        " Prometheus",
    ),
    Option(
        "admin-read-token",
        values.printable,
        "that token itself, for LBCONSUL_ADMIN_READ_TOKEN",
    ),
    Option(
        "admin-open-read",
        values.switch,
        "whether reading status, metrics and page needs no token even where other"
        " machines can connect: on or off [off]",
    ),
    Option(
        "admin-tls",
        values.certificate_files,
        "serve status, metrics and page with TLS: a PEM file of certificate, chain and"
        " key, or a folder of such *.pem files, as for a mapping's tls",
    ),
    Option(
        "admin-client-ca",
        values.printable,
        "PEM file of the authorities that the certificates of clients of the admin"
        " listener are verified against; a client without one is refused",
    ),
    Option(
        "consul-ui",
        grammar.web_page,
        "URL of Consul's own page, to which the gateway's page leads, or off; if not"
        " given, /ui of Consul's address",
    ),
    Option(
        "cookie-key-file",
        values.printable,
        "file that holds the key of the cookies of sticky=, for several gateways to"
        " share; without it, a key of chance is kept in state-dir",
    ),
    Option(
        "check-rate",
        values.whole(1, 100_000),
        "how many own checks of instances to begin in a second, over all mappings; with"
        " more instances the intervals grow [400]",
    ),
    Option(
        "workers",
        values.worker_count,
        "processes that serve, or auto: one for each available core [1]",
    ),
)

#: Options whose text may not be shown.
SECRETS = frozenset({"token", "http-auth", "admin-token", "admin-read-token"})

#: Every option with a single value.
OPTIONS = MAPPING_OPTIONS | CONSUL_OPTIONS | GATEWAY_OPTIONS
