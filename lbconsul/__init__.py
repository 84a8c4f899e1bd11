"""A TCP and HTTP load balancer on Twisted, driven by HashiCorp Consul.

The rooms, from the ground up; each imports only from those above it:

* `errors`: what an operator can act on, one class for each.
* `steps`: long work in steps, and how to finish it at once.
* `version`: the version.
* `text`: texts from outside, made fit for one line.
* `config`: the options, their grammar, and the configuration as values.
* `balance`: decides which upstream a connection gets; does no I/O.
* `stats`: counts how connections end, and what mappings and upstreams come to.
* `net`: sockets, the poller, splice, timers and rate limits.
* `extensions`: finds and calls policies and hooks of an operator's own.
* `testing`: checks such a policy, in tests of its own.
* `process`: this process: signals, clocks, descriptors, user, state directory.
* `logs`: where the log goes, and in which format.
* `tls`: TLS on sockets: certificates, contexts, streams, the ClientHello.
* `takeover`: passes listening sockets from one gateway to the next.
* `admin`: shows status, metrics, events and a page, and accepts orders.
* `dev`: a stand-in for Consul's HTTP API, with sample web servers.
* `consul`: asks Consul, and puts its answers into the registry.
* `proxy`: moves connections and bytes.
* `workers`: several processes with one balance.
* `gateway`: the parts of one gateway.
* `service`: `Gateway`, the Twisted service that joins them.
* `command_line`: the options of ``twistd lbconsul``.
* `tap`: ``twistd lbconsul``: makes the gateway, or checks its configuration.
* `start`: what twistd loads: early signals first, then `tap`.
* `usage`: the table of commands; help, completions and manual pages from it.
* `console`: the command ``lbconsul``: runs, checks, asks and orders.
* `__main__`: ``python -m lbconsul``: the same command.

``docs/architecture.md`` says what each must not do, and follows a connection, an
answer of Consul, a drain, a reload, a takeover and a shutdown through them.

Programs that embed a gateway import from here, and only from here: what ``__all__``
names is kept as it is, everything else may change from one release to the next.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbconsul.admin.status_model import Event
    from lbconsul.balance.custom_policy import Policy
    from lbconsul.balance.upstream_view import UpstreamView
    from lbconsul.config.affinity import Affinity
    from lbconsul.config.build import configure
    from lbconsul.config.cookies import CookieAttributes
    from lbconsul.config.listen import SystemdListen, TCPListen, UnixListen
    from lbconsul.config.model import (
        TLS,
        Config,
        Drain,
        Ejection,
        Limits,
        Mapping,
        ProxyProtocol,
        ShrinkGuard,
        Timeouts,
        UpstreamTLS,
        WhenEmpty,
    )
    from lbconsul.config.rate_limit import rate_limit
    from lbconsul.errors import (
        CannotListen,
        CannotOrder,
        CannotReload,
        ConfigError,
        LBConsulError,
        NoWorkers,
    )
    from lbconsul.extensions.hook_values import (
        Allow,
        Client,
        Connection,
        Deny,
        Prefer,
    )
    from lbconsul.extensions.hooks import Hooks
    from lbconsul.process.clock import use_monotonic_clock
    from lbconsul.proxy.factory import ProxyFactory
    from lbconsul.service import Gateway
    from lbconsul.version import __version__ as __version__

__all__ = [
    "TLS",
    "Affinity",
    "Allow",
    "CannotListen",
    "CannotOrder",
    "CannotReload",
    "Client",
    "Config",
    "ConfigError",
    "Connection",
    "CookieAttributes",
    "Deny",
    "Drain",
    "Ejection",
    "Event",
    "Gateway",
    "Hooks",
    "LBConsulError",
    "Limits",
    "Mapping",
    "NoWorkers",
    "Policy",
    "Prefer",
    "ProxyFactory",
    "ProxyProtocol",
    "ShrinkGuard",
    "SystemdListen",
    "TCPListen",
    "Timeouts",
    "UnixListen",
    "UpstreamTLS",
    "UpstreamView",
    "WhenEmpty",
    "configure",
    "rate_limit",
    "use_monotonic_clock",
]

#: Where a name comes from; all others come from ``config.model``.
_HOMES = {
    "__version__": "version",
    "Affinity": "config.affinity",
    "Allow": "extensions.hook_values",
    "CannotListen": "errors",
    "CannotOrder": "errors",
    "CannotReload": "errors",
    "Client": "extensions.hook_values",
    "ConfigError": "errors",
    "Connection": "extensions.hook_values",
    "CookieAttributes": "config.cookies",
    "Deny": "extensions.hook_values",
    "Event": "admin.status_model",
    "Gateway": "service",
    "Hooks": "extensions.hooks",
    "LBConsulError": "errors",
    "NoWorkers": "errors",
    "Policy": "balance.custom_policy",
    "Prefer": "extensions.hook_values",
    "ProxyFactory": "proxy.factory",
    "SystemdListen": "config.listen",
    "TCPListen": "config.listen",
    "UnixListen": "config.listen",
    "UpstreamView": "balance.upstream_view",
    "configure": "config.build",
    "rate_limit": "config.rate_limit",
    "use_monotonic_clock": "process.clock",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used.

    Workers and ``lbconsul status`` import this package too, and need little of it.
    """
    if name not in _HOMES and name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES.get(name, 'config.model')}")
    value: object = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
