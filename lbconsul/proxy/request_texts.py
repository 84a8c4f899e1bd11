"""What the access log tells of a request beside figures, by its head."""

from lbconsul.http.fields import Fields
from lbconsul.http.headers import ForwardingOptions, client_of
from lbconsul.http.log_text import LINE, TARGET, field_texts, request_line
from lbconsul.http.request import RequestHead
from lbconsul.net.sockets import address_text
from lbconsul.proxy.client_info import ClientInfo

#: The facts of nearly all clients: one for all saves memory.
_NONE: dict[str, str] = {}


class RequestTexts:
    """What the lines of one client's requests have in common.

    They are made when a line needs them, and kept while heads stay the same.
    """

    __slots__ = (
        "_address",
        "_forwarding",
        "_head",
        "_info",
        "_peer",
        "client",
        "facts",
        "host",
        "line",
        "referer",
        "user_agent",
    )

    def __init__(
        self, address: object, forwarding: ForwardingOptions, info: ClientInfo | None
    ) -> None:
        """`forwarding` says whom to believe about the client at this address."""
        self._address, self._forwarding, self._info = address, forwarding, info
        self._peer = ""
        self._head: RequestHead | None = None

    def forget(self) -> None:
        """Free what a line needs only if the next request is like the last one."""
        self._head = None
        self.line = self.host = self.referer = self.user_agent = ""
        self.client = self._peer = ""

    def read(self, head: RequestHead | None, raw: bytes) -> None:
        """Make those of a request; without a `head` it is not valid, or cut."""
        last = self._head
        if head is last is not None:
            return
        self._head = head
        if (
            head is not None
            and len(head.line) < TARGET
            and raw.startswith(head.line)
            and not head.line.translate(None, LINE)
        ):
            self.line = head.line[:-2].decode()  # nearly always
        else:
            self.line = request_line(raw)
        if head is None:
            self.host, self.referer, self.user_agent = field_texts(raw)
            self._identify(None)
        elif last is None or head.fields is not last.fields:
            fields = head.fields
            self.host = "-" if fields.host is None else fields.host.shown
            self.referer, self.user_agent = fields.referer, fields.user_agent
            if last is None or fields.forwarded or last.fields.forwarded:
                self._identify(fields)

    def _identify(self, fields: Fields | None) -> None:
        """The client has the address that a trusted proxy told, or its own."""
        address, trusts = self._address, self._forwarding.trusts
        if not self._peer:
            self._peer = address_text(address)
        self.client = self._peer
        facts = self.facts = _NONE if self._info is None else self._info.facts()
        if trusts is None or fields is None or not isinstance(address, tuple):
            return
        told = client_of(address[0], fields, trusts)
        if told != address[0]:
            self.client = told
            before = facts.get("via")
            via = f"{self._peer}, {before}" if before else self._peer
            self.facts = facts | {"via": via}
