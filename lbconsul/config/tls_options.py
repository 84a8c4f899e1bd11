"""The options of a mapping for TLS, with clients and with upstreams."""

from lbconsul.config import address_values, values
from lbconsul.config.option import Option

TLS_VERSIONS = ("1.2", "1.3")

TLS_OPTIONS = (
    Option(
        "tls",
        values.certificates,
        "serve clients with TLS: a PEM file of certificate, chain and key, which may be"
        " in a file of the same name with .key behind it; a folder of"
        " such *.pem files, chosen by server name; or consul:PREFIX for such PEMs in"
        " Consul's key-value store",
        field="tls.certificates",
    ),
    Option(
        "tls-min",
        values.one_of(TLS_VERSIONS),
        "the oldest TLS version that clients may use: 1.2 or 1.3 [1.2]",
        field="tls.least_version",
    ),
    Option(
        "client-ca",
        values.printable,
        "PEM file of the authorities that client certificates are verified against",
        field="tls.client_ca",
    ),
    Option(
        "client-verify",
        values.one_of(("optional", "required")),
        "whether a client without a certificate is refused: required or optional"
        " [required]",
        field="tls.client_verify",
    ),
    Option(
        "client-crl",
        values.printable,
        "PEM file of the lists of revoked client certificates",
        field="tls.client_crl",
    ),
    Option(
        "upstream-tls",
        values.switch,
        "whether to connect to instances with TLS: on or off [off]",
        field="upstream_tls.is_on",
    ),
    Option(
        "upstream-ca",
        values.printable,
        "PEM file of the authorities to trust for instances; without it, the system's",
        field="upstream_tls.ca",
    ),
    Option(
        "upstream-server-name",
        address_values.server_name,
        "name to ask for and to verify in instances' certificates, not the address",
        field="upstream_tls.server_name",
    ),
    Option(
        "upstream-verify",
        values.switch,
        "whether to verify instances' certificates: on or off [on]",
        field="upstream_tls.verify",
    ),
    Option(
        "upstream-cert",
        values.printable,
        "PEM file of the certificate to present to instances",
        field="upstream_tls.cert",
    ),
    Option(
        "upstream-key",
        values.printable,
        "PEM file of that certificate's key, if it is a file of its own",
        field="upstream_tls.key",
    ),
)
