"""Which instance a client's cookie stands for: tokens by instance, and back."""

from collections.abc import Callable, Iterable, Sequence

from attrs import Factory, define

from lbconsul.balance.instance import Identity


@define(eq=False)
class TokenIndex:
    """The tokens of all instances that Consul's answers contain, kept up to date.

    `known` returns those of one instance that clients may have, the present one first;
    it is called with the parts of its identity.
    """

    _known: Callable[[str, str, str], Sequence[bytes]]
    #: The instance of each token.
    instances: dict[bytes, Identity] = Factory(dict)
    #: The tokens of each instance.
    tokens: dict[Identity, Sequence[bytes]] = Factory(dict)

    def add(self, identity: Identity) -> None:
        """The instance is in an answer now."""
        tokens = self.tokens[identity] = self._known(*identity)
        for each in tokens:
            self.instances[each] = identity

    def remove(self, identity: Identity) -> None:
        """The instance is in no answer any more."""
        for each in self.tokens.pop(identity):
            del self.instances[each]

    def replace(
        self,
        known: Callable[[str, str, str], Sequence[bytes]],
        identities: Iterable[Identity],
    ) -> None:
        """Name these instances anew, and no others."""
        self._known = known
        self.instances.clear()
        self.tokens.clear()
        for each in identities:
            self.add(each)
