"""What a new configuration changes in a running gateway.  Pure."""

from collections.abc import Generator, Iterable

from attrs import evolve, frozen

from lbconsul.config.model import Config, Mapping, rows

#: The log line about a reload names up to this many mappings; of more it gives the
#: number.
_NAMED = 5

#: Settings that only a restart can change: the option, and its field.
_FIXED = (
    ("--workers", "workers"),
    ("--takeover", "takeover"),
    ("--dev", "dev"),
    ("--admin", "admin"),
    ("--admin-token-file", "admin_token_file"),
    ("--admin-token", "admin_token"),
    ("--admin-read-token-file", "admin_read_token_file"),
    ("--admin-read-token", "admin_read_token"),
    ("--admin-open-read", "admin_open_read"),
    ("--admin-tls", "admin_tls"),
    ("--admin-client-ca", "admin_client_ca"),
    ("--log-format", "log_format"),
    ("--log-file", "log_file"),
    ("--log-file-size", "log_file_size"),
    ("--log-file-keep", "log_file_keep"),
)


@frozen
class Plan:
    """What a reload does to each mapping and each route.

    Mappings are identified by their address, routes by the clients they take, too.
    """

    added: tuple[Mapping, ...] = ()
    altered: tuple[Mapping, ...] = ()
    removed: tuple[Mapping, ...] = ()
    unchanged: tuple[Mapping, ...] = ()

    def __str__(self) -> str:
        return ", ".join(
            (
                f"{len(self.added)} added{_names(self.added)}",
                f"{len(self.altered)} altered{_names(self.altered)}",
                f"{len(self.removed)} removed{_names(self.removed)}",
                f"{len(self.unchanged)} unchanged",
            )
        )


def planning(
    old: Iterable[Mapping], new: Iterable[Mapping], *, renew: bool = False
) -> Generator[None, None, Plan]:
    """The plan that leads from the `old` mappings to the `new` ones, one row a step.

    With `renew`, unchanged mappings count as altered too.
    """
    before = {each.place: each for each in rows(old)}
    after = {each.place: each for each in rows(new)}
    altered, unchanged = list[Mapping](), list[Mapping]()
    for place, each in after.items():
        old_one = before.get(place)
        if old_one is not None:
            (altered if renew or old_one != each else unchanged).append(each)
        yield
    return Plan(
        tuple(each for place, each in after.items() if place not in before),
        tuple(altered),
        tuple(gone for place, gone in before.items() if place not in after),
        tuple(unchanged),
    )


def applicable(running: Config, wanted: Config) -> tuple[Config, list[str]]:
    """Return the part of `wanted` that a reload can apply, and the options it
    cannot.
    """
    refused = [
        option
        for option, name in _FIXED
        if getattr(running, name) != getattr(wanted, name)
    ]
    kept = {name: getattr(running, name) for _, name in _FIXED}
    if running.dev:  # the dev catalog listens there
        kept["consul"] = running.consul
        if wanted.consul != running.consul and wanted.dev:
            refused.append("--consul")
    return evolve(wanted, **kept), refused


def _names(mappings: tuple[Mapping, ...]) -> str:
    if not 0 < len(mappings) <= _NAMED:
        return ""
    return f" ({', '.join(map(str, mappings))})"
