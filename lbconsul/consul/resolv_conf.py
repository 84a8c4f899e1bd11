"""Parses resolv.conf(5) and hosts(5).  Pure."""

from ipaddress import IPv6Address, ip_address

from attrs import frozen

#: The most name servers; further ones are ignored, as in the C library (``MAXNS``).
_MOST_SERVERS = 3

#: The most search domains; further ones are ignored.  The C library long had six.
_MOST_DOMAINS = 32

#: The C library's upper bounds of values in ``options`` (resolv.conf(5)).
_MOST_NDOTS, _MOST_TIMEOUT, _MOST_ATTEMPTS = 15, 30, 5

#: The longest host name, in bytes without the dot at its end (RFC 1035, 2.3.4).
MOST_NAME = 253

#: The longest label of a host name, in bytes (RFC 1035, 2.3.4).
_MOST_LABEL = 63


@frozen
class ResolvConf:
    """The settings of resolv.conf(5) for look-ups of names.  Times in seconds."""

    #: The IP addresses of the name servers, in order; IPv6 optionally with a zone.
    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    #: A name with at least so many dots is tried unchanged before the search domains.
    ndots: int = 1
    #: How long one server has to answer.
    timeout: int = 5
    #: How often each server is asked.
    attempts: int = 2
    #: Whether queries start at each server in turn.
    rotate: bool = False
    #: Whether servers are asked over TCP only.
    use_tcp: bool = False
    #: Whether IPv6 addresses are not asked for.
    no_aaaa: bool = False

    def candidates(self, name: str) -> list[str]:
        """The absolute names to try for `name`, in order, without the final dot.

        A name with a final dot is absolute already (resolv.conf(5), ``search``).
        """
        if name.endswith("."):
            return [name[:-1]]
        searched = [f"{name}.{domain}" for domain in self.search]
        searched = [each for each in searched if len(each) <= MOST_NAME]
        if name.count(".") >= self.ndots:
            return [name, *searched]
        return [*searched, name]


def parse_resolv_conf(text: str, host_name: str = "") -> ResolvConf:
    """Parse resolv.conf; invalid lines are ignored, as in the C library.

    Without ``search`` and ``domain`` the domain of `host_name` is searched.
    """
    servers: list[str] = []
    search: tuple[str, ...] | None = None
    options: list[str] = []
    for line in text.splitlines():
        if line.startswith(("#", ";")):
            continue
        match line.split():
            case ["nameserver", address, *_]:
                servers += _server(address)
            case ["search" | "domain" as key, *domains]:
                search = tuple(domains if key == "search" else domains[:1])
            case ["options", *words]:
                options += words
    if search is None:
        search = (host_name.partition(".")[2],)
    return ResolvConf(
        tuple(servers[:_MOST_SERVERS]) or ResolvConf().servers,
        tuple(_domains(search)),
        _number(options, "ndots", 1, 0, _MOST_NDOTS),
        _number(options, "timeout", 5, 1, _MOST_TIMEOUT),
        _number(options, "attempts", 2, 1, _MOST_ATTEMPTS),
        "rotate" in options,
        "use-vc" in options,
        "no-aaaa" in options,
    )


def parse_hosts(text: str) -> dict[str, list[str]]:
    """Parse hosts(5): the text of the address fields of each name, in lower case.

    Few names are ever looked up, so only `addresses_of` validates the addresses.
    """
    found: dict[str, list[str]] = {}
    for line in text.lower().split("\n"):
        address, *names = line.partition("#")[0].split() or ("",)
        for name in names:
            found.setdefault(name, []).append(address)
    return found


def addresses_of(name: str, hosts: dict[str, list[str]]) -> list[str]:
    """The valid addresses of a name, in the file's order; empty if it has none."""
    return [each for each in dict.fromkeys(hosts.get(name, ())) if is_ip(each)]


def absolute(host: str) -> str:
    """`host` in the form of DNS: ASCII (IDNA) and lower case.

    :raises ValueError: `host` is no valid host name.
    """
    name = host if host.isascii() else host.encode("idna").decode("ascii")
    labels = name.removesuffix(".").split(".")
    if not all(0 < len(each) <= _MOST_LABEL for each in labels):
        raise ValueError(f"{host!r} has an empty part, or one of more than 63 letters")
    if len(name.removesuffix(".")) > MOST_NAME:
        raise ValueError(f"{host!r} is longer than {MOST_NAME} letters")
    if not name.isprintable() or " " in name:
        raise ValueError(f"{host!r} has a blank, or what cannot be printed")
    return name.lower()


def by_preference(addresses: list[str], unreachable: set[str]) -> list[str]:
    """Addresses in the order to try them: a simplified RFC 6724.

    Addresses without a route go last.  Otherwise IPv6 goes before IPv4, IPv4 before
    IPv6's private networks; equals keep the server's order.
    """
    return sorted(
        dict.fromkeys(addresses), key=lambda each: (each in unreachable, _rank(each))
    )


def _rank(address: str) -> int:
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        return 2 if ip.packed[0] & 0xFE == 0xFC else 0
    return 1


def _server(address: str) -> list[str]:
    # In canonical form, as the kernel writes it.
    return [str(ip_address(address))] if is_ip(address) else []


def _domains(names: tuple[str, ...]) -> list[str]:
    domains = []
    for each in names[:_MOST_DOMAINS]:
        try:
            domains.append(absolute(each.removesuffix(".")))
        except ValueError:
            continue  # an invalid domain, or the root, which is searched anyway
    return domains


def _number(options: list[str], name: str, default: int, least: int, most: int) -> int:
    """The last value of an option, clamped as the C library does, or the default."""
    for option in reversed(options):
        key, _, value = option.partition(":")
        if key == name and value.isdecimal() and len(value) < 10:
            return max(least, min(most, int(value)))
    return default


def is_ip(text: str) -> bool:
    """Whether the text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
