"""How to reach Consul, as frozen values."""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class ConsulAddress:
    """The HTTP address of a Consul agent or server.

    `scheme` is ``http``, ``https`` or ``unix``; for ``unix`` the `path` is the
    socket's, else a prefix of every request's path.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    #: For ``unix``: TLS over the socket, as ``CONSUL_HTTP_SSL`` requests.
    tls: bool = False

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def netloc(self) -> str:
        """The Host header of a request to this address."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@frozen
class ConsulConfig:
    """How to reach Consul, and the credentials for it."""

    addresses: tuple[ConsulAddress, ...] = (ConsulAddress("http", "127.0.0.1", 8500),)
    #: Used without a token file, and while that file is empty.
    token: str = field(default="", repr=False)
    token_file: str = ""
    #: ``user:password`` of HTTP basic authentication (RFC 7617).
    http_auth: str = field(default="", repr=False)
    ca_file: str = ""
    #: A directory of CA files; `ca_file` overrides it.
    ca_path: str = ""
    #: The name for SNI and verification, instead of the address's host.
    tls_server_name: str = ""
    client_cert: str = ""
    client_key: str = ""
    verify: bool = True
    namespace: str = ""
    partition: str = ""
    #: How long one blocking query may wait, in seconds.
    consul_wait: float = 30.0
    #: Where an option was set, if not on the command line.
    places: Mapping[str, str] = field(factory=dict, eq=False, repr=False)

    @property
    def ui(self) -> str:
        """The URL of the page that Consul itself serves; empty for a UNIX socket."""
        address = self.addresses[0]
        return "" if address.scheme == "unix" else f"{address}/ui"

    def where(self, option: str) -> str:
        """The place of an option, as an error message names it."""
        return self.places.get(option, f"--{option}")
