"""Why a message is not forwarded.  Pure."""


class Refused(ValueError):
    """A message is malformed, ambiguous or too large; the text says why, in one line.

    The text holds nothing of what was sent but names of fields.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        #: What the client is answered: its own mistake (4xx), what this proxy cannot do
        #: (501, 505), or a response of the upstream that is not forwarded (502).
        self.status = status
