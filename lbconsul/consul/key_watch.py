"""A watch of keys: repeats a blocking query to Consul's key-value store."""

from base64 import b64decode
from collections.abc import Callable, Generator

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.entries import entries
from lbconsul.consul.list_watch import ListWatch, Reading
from lbconsul.errors import UnusableAnswer
from lbconsul.text import fit


@frozen
class KeyValue:
    """A key of Consul's store, and its value."""

    key: str
    #: It may be a secret.
    value: bytes = field(repr=False)
    #: The ``ModifyIndex``: it grows with each change.
    index: int = 0


def reading(body: bytes, prefix: str) -> Generator[None, None, tuple[KeyValue, ...]]:
    """The keys of an answer that are `prefix`, or below it as files in a folder.

    One key is parsed a step.  Keys that end in a slash, as those that Consul's own page
    makes for folders, are left out.

    :raises UnusableAnswer: the answer is not valid.
    """
    found = list[KeyValue]()
    folder = f"{prefix}/"
    for entry in entries(body):
        each = _key_value(entry)
        is_below = each.key.startswith(folder) and not each.key.endswith("/")
        if each.key == prefix or is_below:
            found.append(each)
        yield
    return tuple(sorted(found, key=lambda each: each.key))


def _key_value(entry: object) -> KeyValue:
    match entry:
        case {"Key": str(key), "Value": str() | None as value, "ModifyIndex": int(at)}:
            try:
                return KeyValue(key, b64decode(value or "", validate=True), at)
            except ValueError:
                raise UnusableAnswer(f"{fit(key)} is not base64") from None
    raise UnusableAnswer("an entry is not a key with a value")


#: The keys below a prefix.
Keys = tuple[KeyValue, ...]


def key_watch(
    clock: IReactorTime,
    client: ConsulClient,
    chance: Callable[[], float],
    prefix: str,
    changed: Callable[[str, Keys], None],
) -> ListWatch[Keys]:
    """A watch of the keys below a prefix.

    `changed` is called with the prefix and the keys if they are not those of the last
    answer.
    """

    def read(reply: Reply) -> Reading[Keys]:
        found = yield from reading(reply.body, prefix)
        if reply.filtered and not found:
            raise UnusableAnswer("empty, because ACLs hide all keys from the token")
        return found

    return ListWatch(
        clock,
        client,
        chance,
        f"consul:{prefix}",
        lambda client, index, address, stale: client.ask_keys(
            prefix, index, address, stale=stale
        ),
        read,
        lambda found: changed(prefix, found),
    )
