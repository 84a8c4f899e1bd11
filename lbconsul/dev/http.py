"""One HTTP request taken apart, what answers it, and what is answered."""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, unquote

from attrs import frozen
from twisted.web.server import Request

from lbconsul.dev.refused import HTTPError

#: What Go calls a boolean.
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


@frozen
class ConsulRequest:
    """One request: the part of its path that names something, and its arguments."""

    name: str
    args: Mapping[str, Sequence[str]]
    body: bytes

    @classmethod
    def of(cls, request: Request, prefix: str) -> "ConsulRequest":
        # Not request.args: it drops what has no "=", such as Consul's "?stale".
        query = request.uri.decode("ascii", "replace").partition("?")[2]
        args = parse_qs(query, keep_blank_values=True)
        body = b"" if request.content is None else request.content.read()
        return cls(path_of(request).removeprefix(prefix), args, body)

    def has(self, key: str) -> bool:
        return key in self.args

    def first(self, key: str) -> str:
        """The first value of an argument, empty if it is not there."""
        return next(iter(self.args.get(key, ())), "")

    def truth(self, key: str, complaint: str) -> bool:
        """A boolean argument."""
        said = self.first(key)
        if said not in _TRUE + _FALSE:
            raise HTTPError(400, complaint)
        return said in _TRUE

    def consistency(self) -> str:
        """How sure the answer is to be: that of Consul's three modes that is named."""
        if self.has("stale") and self.has("consistent"):
            said = "Cannot specify ?stale with ?consistent, conflicting semantics."
            raise HTTPError(400, said)
        return next((m for m in ("stale", "consistent") if self.has(m)), "leader")


def path_of(request: Request) -> str:
    return unquote(request.path.decode("ascii", "replace"))


#: Looks at the catalog: the index of what it saw, and what it saw, as JSON.
View = Callable[[], tuple[int, object]]


@frozen
class Action:
    """A path that does something, or shows something at once."""

    method: str
    answer: Callable[[ConsulRequest], object]


@frozen
class Watch:
    """A path that may be watched: a GET that can wait for a change."""

    look: Callable[[ConsulRequest], View]
    method: str = "GET"


#: Paths, or beginnings of paths if they end in a slash, and what answers there.
Routes = Mapping[str, Action | Watch]
