"""The addresses to listen on, as frozen values."""

from attrs import frozen

#: The addresses that mean every address of their family.
ANY_HOST = frozenset({"0.0.0.0", "::"})


@frozen
class TCPListen:
    """A TCP address to listen on; `host` is an IP address, v4 or v6."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@frozen
class UnixListen:
    """A UNIX socket to listen on."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@frozen
class SystemdListen:
    """A socket that systemd passes in: its FileDescriptorName, or its number from 0.

    See sd_listen_fds(3).
    """

    name: str

    def __str__(self) -> str:
        return f"systemd:{self.name}"


Listen = TCPListen | UnixListen | SystemdListen
