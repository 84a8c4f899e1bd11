"""One option as its users see it: its name, what it takes, and its help."""

from attrs import frozen

from lbconsul.config import address_values, values
from lbconsul.config.mapping_options import MODES
from lbconsul.config.option import Option
from lbconsul.config.options import OPTIONS
from lbconsul.config.variables import variable

#: Options whose value is the path of a file or a folder.
_PATHS = frozenset(
    {
        "token-file", "ca-file", "ca-path", "client-cert", "client-key", "state-dir",
        "takeover", "log-file", "admin-token-file", "admin-read-token-file", "tls",
        "client-ca", "client-crl", "upstream-ca", "upstream-cert", "upstream-key",
        "admin-tls", "admin-client-ca",
    }
)  # fmt: skip

_SWITCH = ("on", "off")

#: What an option takes whose parser does not tell.
_VALUES = {
    "admin": "ADDRESS",
    "basic-auth": "FILE",
    "ca-path": "FOLDER",
    "check-fast-interval": "TIME",
    "check-interval": "TIME",
    "check-jitter": "SHARE",
    "check-timeout": "TIME",
    "compress": "CODINGS",
    "compress-min-size": "SIZE",
    "compress-types": "TYPES",
    "consul-wait": "TIME",
    "dc": "DATACENTERS",
    "eject-latency": "RULE",
    "error-page": "STATUS:/PATH",
    "filter": "EXPRESSION",
    "health": "STATUSES",
    "hsts": "TIME",
    "http-auth": "USER[:PASSWORD]",
    "log-file-size": "SIZE",
    "max-body": "SIZE",
    "max-head": "SIZE",
    "max-uri": "SIZE",
    "min-rate": "RATE",
    "rebalance": "SHARE",
    "cookie-key-file": "FILE",
    "cookie-max-age": "TIME|off",
    "cookie-path": "PATH",
    "split": "SHARES",
    "split-sticky": "source|cookie[:NAME]|off",
    "sticky": "cookie[:NAME]|off",
    "hash-balance-factor": "PERCENT|off",
    "hash-by": "source|uri|header:NAME|cookie:NAME",
    "redirect": "STATUS,URL",
    "register": "NAME|off",
    "register-address": "HOST[:PORT]",
    "register-meta": "KEY=VALUE",
    "register-remove-after": "TIME",
    "register-tags": "TAGS",
    "register-ttl": "TIME",
    "route-hold": "TIME",
    "tag-prefix": "PREFIX",
    "tcp-listeners": "PORTS",
    "kv-overrides": "KEY",
    "retry-on": "RESPONSES",
    "rewrite": "REGEX REPLACEMENT",
    "shrink-guard": "SHARE",
    "state-dir": "FOLDER",
    "tag": "TAG",
    "takeover": "SOCKET",
    "tls": "FILE|FOLDER|consul:PREFIX",
    "token": "TOKEN",
    "admin-read-token": "TOKEN",
    "admin-tls": "FILE|FOLDER",
    "admin-token": "TOKEN",
    "unix-mode": "MODE",
    "upstream-host": "HOST",
    "when-empty": "WHAT",
    "workers": "NUMBER",
}

_CHOICES = {"mode": MODES}


@frozen
class Argument:
    """An option of a command; `takes` names its value, and is empty for a switch."""

    name: str
    help: str
    takes: str = ""
    #: One letter, without its dash.
    short: str = ""
    choices: tuple[str, ...] = ()
    is_path: bool = False
    #: Whether it may be given more than once.
    repeats: bool = False
    has_variable: bool = True
    #: A former name, which is understood as well.
    alias: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """How it is written: ``-f`` and ``--config``, or only the latter."""
        short = (f"-{self.short}",) if self.short else ()
        return (*short, f"--{self.name}")

    @property
    def all_flags(self) -> tuple[str, ...]:
        """These, and the former one."""
        return (*self.flags, f"--{self.alias}") if self.alias else self.flags

    @property
    def variable(self) -> str:
        """Its environment variable; empty if it has none."""
        return variable(self.name) if self.has_variable else ""


def of_option(name: str) -> Argument:
    """An option of the configuration."""
    option = OPTIONS[name]
    choices = _choices(option)
    others = ("MODULE:NAME",) if isinstance(option.parse, values.OneOfOrCode) else ()
    return Argument(
        name,
        option.help,
        takes="|".join(choices + others) or _takes(option),
        choices=choices,
        is_path=name in _PATHS,
        repeats=option.is_list,
    )


def _choices(option: Option) -> tuple[str, ...]:
    if option.parse is values.switch:
        return _SWITCH
    if isinstance(option.parse, values.OneOf):
        return option.parse.choices
    return _CHOICES.get(option.name, ())


def _takes(option: Option) -> str:
    if option.name in _VALUES:
        return _VALUES[option.name]
    if option.name in _PATHS:
        return "FILE"
    if option.parse in (values.duration, values.duration_or_off):
        return "TIME"
    if option.parse in (address_values.networks, address_values.upstream_networks):
        return "NETWORKS"
    if option.parse in (values.name, address_values.server_name):
        return "NAME"
    if isinstance(option.parse, values.Whole):
        return "NUMBER"
    return "VALUE"
