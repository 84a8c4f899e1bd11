"""What resolv.conf(5) and hosts(5) say.  Pure."""

from ipaddress import IPv6Address, ip_address

from attrs import frozen

#: Name servers beyond these are ignored, as by the C library (``MAXNS``).
_MOST_SERVERS = 3

#: Search domains beyond these are ignored.  The C library had six for long.
_MOST_DOMAINS = 32

#: The bounds of the C library for what ``options`` say (resolv.conf(5)).
_MOST_NDOTS, _MOST_TIMEOUT, _MOST_ATTEMPTS = 15, 30, 5

#: The longest host name, in bytes without the dot at its end (RFC 1035, 2.3.4).
MOST_NAME = 253

#: The longest part of one (RFC 1035, 2.3.4).
_MOST_LABEL = 63


@frozen
class ResolvConf:
    """How names are looked up: resolv.conf(5).  Times in seconds."""

    #: The IP addresses of the name servers, in order; IPv6 maybe with a zone.
    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    #: A name with so many dots is tried as it stands first.
    ndots: int = 1
    #: How long one server has to answer.
    timeout: int = 5
    #: How often each server is asked.
    attempts: int = 2
    #: Whether each query begins with another server.
    rotate: bool = False
    #: Whether servers are asked over TCP only.
    use_tcp: bool = False
    #: Whether IPv6 addresses are not asked for.
    no_aaaa: bool = False

    def candidates(self, name: str) -> list[str]:
        """The absolute names, without the dot at the end, to try for `name`, in order.

        A name with a dot at the end is absolute (resolv.conf(5), ``search``).
        """
        if name.endswith("."):
            return [name[:-1]]
        searched = [f"{name}.{domain}" for domain in self.search]
        searched = [each for each in searched if len(each) <= MOST_NAME]
        if name.count(".") >= self.ndots:
            return [name, *searched]
        return [*searched, name]


def parse_resolv_conf(text: str, host_name: str = "") -> ResolvConf:
    """What the file says; lines that make no sense are ignored, as everywhere.

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
    """What stands for the address of each name, in lower case: hosts(5).

    Few of its names are ever asked for: `addresses_of` sees which are addresses.
    """
    found: dict[str, list[str]] = {}
    for line in text.lower().split("\n"):
        address, *names = line.partition("#")[0].split() or ("",)
        for name in names:
            found.setdefault(name, []).append(address)
    return found


def addresses_of(name: str, hosts: dict[str, list[str]]) -> list[str]:
    """The addresses of a name, in the file's order; none if it has none there."""
    return [each for each in dict.fromkeys(hosts.get(name, ())) if _is_ip(each)]


def absolute(host: str) -> str:
    """`host` as DNS has it: ASCII, in lower case.

    :raises ValueError: it is no host name.
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
    """Addresses in the order to try them, which is that of RFC 6724 in short.

    Those without a route go last; then IPv6 before IPv4 before IPv6's private
    networks, and what the server put first before what it put next.
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
    # In the form in which the kernel would write it, too.
    return [str(ip_address(address))] if _is_ip(address) else []


def _domains(said: tuple[str, ...]) -> list[str]:
    domains = []
    for each in said[:_MOST_DOMAINS]:
        try:
            domains.append(absolute(each.removesuffix(".")))
        except ValueError:
            continue  # the root, among others, which is searched anyway
    return domains


def _number(options: list[str], name: str, default: int, least: int, most: int) -> int:
    """The last number that is said; the C library takes it into its bounds."""
    for option in reversed(options):
        key, _, value = option.partition(":")
        if key == name and value.isdecimal() and len(value) < 10:
            return max(least, min(most, int(value)))
    return default


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
