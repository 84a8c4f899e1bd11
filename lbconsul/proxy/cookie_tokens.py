"""What instances are called in the cookies of clients, by the keys of the gateway."""

from secrets import token_bytes

from attrs import define, field

from lbconsul.balance.registry import Registry
from lbconsul.balance.token_index import TokenIndex
from lbconsul.http.signed_cookie import Tokens

#: Bytes of a key of chance, which has to do while there is no other one.
_BYTES = 32


@define(eq=False, repr=False)
class CookieTokens:
    """The tokens of one process, once a mapping needs them."""

    _registry: Registry
    _keys: tuple[bytes, ...] = field(factory=lambda: (token_bytes(_BYTES),))
    _index: TokenIndex | None = None
    _of_parts: Tokens | None = None

    def use(self, keys: tuple[bytes, ...]) -> None:
        """Make tokens with the first of these keys, and know those of all of them."""
        if not keys or keys == self._keys:
            return
        self._keys, self._of_parts = keys, None
        if self._index is not None:
            self._index.replace(Tokens("sticky", keys).known, list(self._index.tokens))

    def of_parts(self) -> Tokens:
        """What makes the tokens of parts of splits; another one with other keys."""
        if self._of_parts is None:
            self._of_parts = Tokens("split", self._keys)
        return self._of_parts

    def index(self) -> TokenIndex:
        """The tokens of all instances, kept up to date."""
        if self._index is None:
            self._index = TokenIndex(Tokens("sticky", self._keys).known)
            self._registry.index(self._index)
        return self._index
