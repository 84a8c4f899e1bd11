"""The options of a mapping about its registration in Consul."""

from lbconsul.config import register_values as parsers
from lbconsul.config import values
from lbconsul.config.option import Option

REGISTER_OPTIONS = (
    Option(
        "register",
        parsers.service_or_off,
        "register the mapping's address in Consul as this service, healthy while the"
        " gateway is ready; or off [off]",
        field="register.name",
    ),
    Option(
        "register-tags",
        parsers.tags,
        "tags of that registration, with | between them: edge|public",
        field="register.tags",
    ),
    Option(
        "register-meta",
        parsers.meta,
        "metadata of that registration: KEY=VALUE, with | between pairs",
        field="register.meta",
    ),
    Option(
        "register-address",
        parsers.address,
        "HOST or HOST:PORT to register; without it what the mapping listens on, for a"
        " wildcard address that of Consul's agent",
        field="register.address",
    ),
    Option(
        "register-ttl",
        values.duration_between(3.0, 3600.0),
        "how long Consul takes the registration for healthy without a word of the"
        " gateway, which reports three times as often [15s]",
        field="register.ttl",
    ),
    Option(
        "register-remove-after",
        values.duration_between(60.0, 365 * 86400.0),
        "how long a registration may be critical until Consul removes it [10m]",
        field="register.remove_after",
    ),
)
