"""The table of commands, with their options in groups."""

from collections.abc import Iterable

from attrs import evolve, frozen

from lbconsul.config.affinity_options import STICKY_OPTIONS
from lbconsul.config.check_options import CHECK, CHECK_OPTIONS
from lbconsul.config.http_options import HTTP_OPTIONS
from lbconsul.config.options import CONSUL_OPTIONS
from lbconsul.config.register_options import REGISTER_OPTIONS
from lbconsul.config.rewriting_options import REWRITING_OPTIONS
from lbconsul.config.tag_options import TAG_OPTIONS
from lbconsul.config.tls_options import TLS_OPTIONS
from lbconsul.usage.argument import Argument, of_option


@frozen
class Group:
    """Options under one title."""

    title: str
    arguments: tuple[Argument, ...]


@frozen
class Command:
    """One command: what it is called, what it takes, and what it does."""

    name: str
    #: What it takes behind its options, as in the first line of its help.
    takes: str
    #: For the list of commands.
    summary: str
    #: For its own help: paragraphs.
    description: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    examples: tuple[str, ...] = ()
    #: What its words behind the options are chosen from, if from few.
    choices: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """The options of all groups."""
        return tuple(each for group in self.groups for each in group.arguments)


def _group(title: str, *names: str, first: Iterable[Argument] = ()) -> Group:
    return Group(title, (*first, *(of_option(each) for each in names)))


_CONFIG = Argument(
    "config", "TOML file with the same options", "FILE", short="f", is_path=True
)
_ADDRESS = Argument(
    "consul",
    "Consul's host:port or URL; may be given more than once [127.0.0.1:8500]",
    "ADDRESS",
    repeats=True,
)
_MAP = Argument(
    "map",
    "[ADDRESS:]PORT:SERVICE, unix:/PATH:SERVICE or systemd:NAME:SERVICE, with options"
    " behind it; may be given more than once",
    "MAPPING",
    repeats=True,
)
_ROUTE = Argument(
    "route",
    "LISTEN:PATTERN=SERVICE, with options behind it: where a part of a mapping's"
    " clients or requests goes, by TLS server name, or by host and path; may be given"
    " more than once",
    "ROUTE",
    repeats=True,
)
_DEV = Argument(
    "dev", "try it out: start a catalog, and three web servers for each service"
)
_CHECK = Argument("check", "validate the configuration, and exit", has_variable=False)
_ONLINE = Argument(
    "online", "with --check: query Consul for the services, too", has_variable=False
)
_VERSION = Argument("version", "show the version, and exit", has_variable=False)
_HELP = Argument("help", "show this, and exit", short="h", has_variable=False)

#: All options of a gateway.
SERVING = (
    Group("What to balance", (_CONFIG, _ADDRESS, _MAP, _ROUTE, _DEV)),
    _group("How to reach Consul", *CONSUL_OPTIONS),
    _group(
        "Which instances",
        "tag", "split", "split-sticky", "filter", "health", "node-checks", "dc",
        "failback-after", "near", "port-name", "tagged-address", "upstream-allow",
    ),
    _group(
        "How to choose among them",
        "policy", "hash-by", "hash-balance-factor", "slow-start", "rebalance",
        "max-connections-per-upstream", "queue-length", "queue-timeout", "when-empty",
    ),
    _group(
        "Failures and drains",
        "connect-timeout", "attempts", "eject-after", "eject-base-time",
        "eject-latency", "eject-on-early-close", "shrink-guard", "shrink-hold",
        "drain-timeout", "close-on-critical",
    ),
    _group(
        "Clients",
        "mode", "allow", "deny", "max-connections", "max-connections-per-client",
        "rate-limit", "max-requests", "shed-lag",
        "idle-timeout", "half-close-timeout", "first-byte-timeout", "max-age",
        "wait-for-client", "accept-proxy", "send-proxy", "unix-mode", "allow-empty",
        "hooks",
    ),
    _group("Routes from tags in Consul", *(each.name for each in TAG_OPTIONS)),
    _group(
        "Own checks",
        *(each.name for each in CHECK_OPTIONS if each.name != CHECK), "check-rate",
    ),
    _group("Registration in Consul", *(each.name for each in REGISTER_OPTIONS)),
    _group("TLS", *(each.name for each in TLS_OPTIONS)),
    _group("With mode=http", *(each.name for each in HTTP_OPTIONS)),
    _group(
        "Rewriting, with mode=http", *(each.name for each in REWRITING_OPTIONS)
    ),
    _group(
        "Clients that come again, with mode=http",
        *(each.name for each in STICKY_OPTIONS),
    ),
    _group(
        "Status and orders",
        "admin", "admin-token-file", "admin-token", "admin-read-token-file",
        "admin-read-token", "admin-open-read", "admin-tls", "admin-client-ca",
        "consul-ui",
    ),
    _group(
        "The log",
        "connection-log", "log-format", "log-file", "log-file-size", "log-file-keep",
    ),
    _group(
        "The gateway",
        "workers", "state-dir", "takeover", "shutdown-grace", "cookie-key-file",
    ),
)  # fmt: skip

#: Options of twistd, which ``run`` takes as well.
PROCESS = Group(
    "The process",
    (
        Argument("uid", "user to become once the ports are open", "USER"),
        Argument("gid", "group to become; the user's own if not given", "GROUP"),
        Argument("umask", "permissions that new files do not get, in octal", "MASK"),
        Argument("chroot", "folder to make the root folder", "FOLDER", is_path=True),
        Argument("rundir", "folder to change to first", "FOLDER", is_path=True),
        Argument("pidfile", "file to write the process id to", "FILE", is_path=True),
        Argument("reactor", "Twisted's reactor to use", "NAME"),
        Argument("syslog", "log to syslog instead"),
        Argument("prefix", "name in syslog [twisted]", "NAME"),
    ),
)

_THIS = Group("Other", (_HELP,))

_ACCESS = Group(
    "Which gateway",
    (
        Argument(
            "admin",
            "[HOST:]PORT, https://[HOST:]PORT or unix:/PATH of the gateway"
            " [127.0.0.1:9200]",
            "ADDRESS",
        ),
        Argument(
            "admin-token-file",
            "file that holds the token, where one is needed; to look, the one that"
            " only reads will do",
            "FILE", is_path=True, alias="token-file",
        ),
        Argument(
            "admin-ca",
            "ask with TLS, and trust the authorities of this PEM file [the system's]",
            "FILE", is_path=True,
        ),
        Argument(
            "admin-cert",
            "PEM file of a client's certificate and key, where the gateway wants one",
            "FILE", is_path=True,
        ),
    ),
)  # fmt: skip

_TOKEN = (
    "The token is that of the gateway's --admin-token-file. It can be in the"
    " environment as LBCONSUL_ADMIN_TOKEN, and is on no command line, where others"
    " could see it."
)
_ID = (
    "An instance is given as status shows it, as SERVICE-ID@NODE, or by its id,"
    " DATACENTER/NODE/SERVICE-ID with each part percent-encoded."
)
_ASKED = "Exit status: 0 if it is done, 2 if it is not."
_JSON = Argument("json", "one JSON object a line", has_variable=False)
_SHORT_FORM = (
    "CONSUL:8500 80:web 81:graphite is short for --consul CONSUL:8500 --map 80:web"
    " --map 81:graphite."
)
_BEHIND = (
    "Give an option of one mapping behind its service (80:web,tag=v2,policy=p2c); given"
    " as an option of the gateway it is the default of all mappings. In [ ]: the"
    " default. docs/reference.md has more."
)

_VARIABLES = (
    "Each option can be in the environment as well, --connect-timeout as"
    " LBCONSUL_CONNECT_TIMEOUT. The command line wins over the environment, and that"
    " over the file."
)


def _order(verb: str, summary: str, *description: str) -> Command:
    return Command(
        verb,
        "INSTANCE...",
        summary,
        (*description, _ID, _TOKEN, _ASKED),
        (_ACCESS, _THIS),
        (f"lbconsul {verb} web-1@node-1",),
    )


_MAPPINGS = "[CONSUL] [[ADDRESS:]PORT:SERVICE[,OPTION=VALUE...] ...]"

COMMANDS = (
    Command(
        "run",
        _MAPPINGS,
        "serve, in the foreground",
        (
            "Balances ports over the healthy instances of services in Consul, in the"
            " foreground, until SIGTERM or SIGINT. The same as twistd --nodaemon"
            " --pidfile= lbconsul.",
            _SHORT_FORM,
            _BEHIND,
            _VARIABLES,
        ),
        (*SERVING, PROCESS, Group("Other", (_CHECK, _ONLINE, _VERSION, _HELP))),
        (
            "lbconsul run myconsul:8500 80:webserver 81:graphite",
            "lbconsul run --config /etc/lbconsul.toml --workers auto",
        ),
    ),
    Command(
        "check",
        _MAPPINGS,
        "validate a configuration",
        (
            "Validates the configuration that run would have, certificates included,"
            " and prints its mappings. With --online it asks Consul, too: whether it"
            " answers and accepts the token, and how many usable instances each mapping"
            " has.",
            "Exit status: 0 if all is well, 1 if it is not.",
        ),
        (
            Group("What to check", (evolve(_ONLINE, help="query Consul, too"),)),
            *SERVING,
            PROCESS,
            _THIS,
        ),
        ("lbconsul check --online --config /etc/lbconsul.toml",),
    ),
    Command(
        "status",
        "",
        "show a gateway's status",
        (
            "Shows the status of a running gateway. On a terminal it leaves out columns"
            " that have no room.",
            "Exit status: 0 if the gateway is ready, 1 if it is not, 2 if it cannot be"
            " asked.",
        ),
        (
            Group(
                "What to show",
                (
                    Argument(
                        "watch", "repeat it until interrupted", has_variable=False
                    ),
                    Argument(
                        "json", "the document of /status, as it is", has_variable=False
                    ),
                ),
            ),
            _ACCESS,
            _THIS,
        ),
        ("lbconsul status --watch", "lbconsul status --admin unix:/run/lbconsul.sock"),
    ),
    Command(
        "top",
        "",
        "show a gateway live, full screen, and give orders",
        (
            "Shows a running gateway live: its rates, what is wrong first, each mapping"
            " with its instances. Keys sort, filter, show details and events, and"
            " drain, undrain and eject the chosen instance; ? lists them. When the"
            " gateway ends, it waits for the next one at the same address.",
            "It needs Textual: pip install 'lbconsul[tui]'. NO_COLOR is heeded. Where"
            " TERM is dumb it does what status --watch does.",
            _TOKEN,
            "Exit status: 2 if the gateway cannot be asked at first.",
        ),
        (_ACCESS, _THIS),
        (
            "lbconsul top",
            "lbconsul top --admin unix:/run/lbconsul.sock --admin-token-file token",
        ),
    ),
    Command(
        "events",
        "",
        "show what changes, as it changes",
        (
            "Shows the latest events of a running gateway, and then each as it happens,"
            " until interrupted. When the gateway ends, is restarted or taken over, it"
            " goes on with the next one at the same address; lines with -- say so, and"
            " what was missed.",
            "Exit status: 2 if the gateway cannot be asked at first, or refuses.",
        ),
        (
            Group(
                "What to show",
                (_JSON,),
            ),
            _ACCESS,
            _THIS,
        ),
        ("lbconsul events --json | jq .text",),
    ),
    Command(
        "why",
        "URL",
        "show which route a request takes, and why",
        (
            "Shows each route that a request could take, and which takes it. Nothing is"
            " sent to an instance.",
            "Exit status: 0 if the request is served or redirected, 1 if it is not, 2"
            " if the gateway cannot be asked.",
        ),
        (
            Group(
                "The request",
                (
                    Argument(
                        "method", "[GET]", "METHOD", short="X", has_variable=False
                    ),
                    Argument(
                        "header",
                        "a field of the request; may be given more than once",
                        "'NAME: VALUE'",
                        short="H",
                        repeats=True,
                        has_variable=False,
                    ),
                ),
            ),
            _ACCESS,
            _THIS,
        ),
        ("lbconsul why -X POST http://example.com/api/x",),
    ),
    Command(
        "routes",
        "",
        "show the routes that are tags of services in Consul",
        (
            "Shows the routes of mappings of @tags: what part of a route's requests"
            " each service gets, how many of its instances may get some, and which tags"
            " are wrong. Tags with ! get no requests, those with ~ do.",
            "Exit status: 0 if each route has a usable instance and no tag is wrong, 1"
            " if not, 2 if the gateway cannot be asked.",
        ),
        (
            Group(
                "What to show",
                (_JSON,),
            ),
            _ACCESS,
            _THIS,
        ),
        ("lbconsul routes --json | jq '.problems[].why'",),
    ),
    evolve(
        _order(
            "drain",
            "let an instance get no new connection",
            "Lets instances get no new connection, in all mappings. The connections"
            " that they have stay. undrain ends it.",
        ),
        groups=(
            Group(
                "What to drain",
                (
                    Argument(
                        "gateway",
                        "the gateway itself, as SIGTERM does: it accepts no more"
                        " clients, and ends when no connection is left",
                        has_variable=False,
                    ),
                ),
            ),
            _ACCESS,
            _THIS,
        ),
    ),
    _order(
        "undrain",
        "end such a drain",
        "Ends a drain by hand: an instance serves again if Consul says so.",
    ),
    _order(
        "eject",
        "eject an instance as if it had failed",
        "Ejects instances as if they had failed, where others suffice. They return as"
        " those do that failed.",
    ),
    Command(
        "version",
        "",
        "show the version",
        ("Shows the versions of lbconsul and of what it stands on.",),
        (_THIS,),
    ),
    Command(
        "completion",
        "SHELL",
        "print completions for a shell",
        (
            "Prints a script that completes commands and options:",
            "bash: lbconsul completion bash"
            " >/usr/share/bash-completion/completions/lbconsul",
            "zsh: lbconsul completion zsh"
            " >/usr/local/share/zsh/site-functions/_lbconsul",
            "fish: lbconsul completion fish"
            " >/usr/share/fish/vendor_completions.d/lbconsul.fish",
        ),
        (_THIS,),
        ("source <(lbconsul completion bash)",),
        ("bash", "fish", "zsh"),
    ),
    Command(
        "man",
        "[COMMAND]",
        "print a manual page",
        ("Prints the manual page of lbconsul, or of one of its commands.",),
        (_THIS,),
        (
            "lbconsul man | man -l -",
            "lbconsul man run >/usr/local/share/man/man1/lbconsul-run.1",
        ),
    ),
)

BY_NAME = {each.name: each for each in COMMANDS}

#: In one sentence, what lbconsul is.
SUMMARY = "A TCP and HTTP load balancer, driven by HashiCorp Consul."
