"""Who clients are, by names and passwords: what was verified is remembered."""

import os
from collections.abc import Callable, Collection
from functools import partial
from hashlib import blake2b
from typing import Any

from attrs import Factory, define, field

from lbconsul.http.basic_auth import Credentials
from lbconsul.http.htpasswd import Passwords
from lbconsul.proxy.password_checks import PasswordChecks, TooManyChecks

#: The most credentials that are remembered of one file, each as a digest.
_MOST_KNOWN = 10_000

#: What digests are made with: what is remembered is of no use outside this process.
_KEY = os.urandom(32)

#: Called with the verdict.
OnVerdict = Callable[[bool], None]


@define(eq=False)
class Authenticator:
    """Verifies credentials by one file of passwords, which may be replaced.

    What was right is remembered as a keyed digest until the file changes.
    """

    _checks: PasswordChecks
    _passwords: Passwords | None = None
    #: Digests of credentials that are right, the longest known first.
    _known: dict[bytes, None] = Factory(dict)
    #: Who waits for the verdict on credentials, by their digest.
    _waiting: dict[bytes, list[OnVerdict]] = Factory(dict)

    def use(self, passwords: Passwords) -> None:
        """Verify by these passwords from now on."""
        if passwords != self._passwords:
            self._passwords = passwords
            # What waits is noted where it began, and is of no use for others.
            self._known, self._waiting = {}, {}

    def verdict(
        self, credentials: Credentials, client: str, on_verdict: OnVerdict
    ) -> bool | None:
        """Whether they are right; None: `on_verdict` is called once that is known.

        `client` is the address of who shows them.

        :raises TooManyChecks: too many wait, or there are no passwords yet.
        """
        passwords, known, waiting = self._passwords, self._known, self._waiting
        if passwords is None:
            raise TooManyChecks("the passwords have not come yet")
        digest = blake2b(b"%b:%b" % credentials, key=_KEY).digest()
        if digest in known:
            return True
        if digest in waiting:
            waiting[digest].append(on_verdict)
            return None
        user, password = credentials
        hashed = passwords.hashes.get(user)
        is_user = hashed is not None
        if hashed is None:
            # An unknown user takes as long as some known one does, always the same.
            hashes = list(passwords.hashes.values())
            number = int.from_bytes(blake2b(user, key=_KEY, digest_size=8).digest())
            hashed = hashes[number % len(hashes)]
        over = partial(_over, known, waiting, digest, is_user)
        self._checks.verify(client, hashed, password, over)
        waiting[digest] = [on_verdict]
        return None


def _over(
    known: dict[bytes, None],
    waiting: dict[bytes, list[OnVerdict]],
    digest: bytes,
    is_user: bool,
    is_right: bool,
) -> None:
    """A password was verified: tell those who wait."""
    is_right = is_right and is_user
    if is_right:
        if len(known) >= _MOST_KNOWN:
            del known[next(iter(known))]
        known[digest] = None
    for each in waiting.pop(digest):
        each(is_right)


@define(eq=False)
class Authenticators:
    """The authenticators of one process, by the paths of their files."""

    _reactor: Any
    _checks: PasswordChecks = field(
        init=False, default=Factory(lambda self: PasswordChecks(self._reactor), True)
    )
    _by_path: dict[str, Authenticator] = Factory(dict)

    def of(self, path: str) -> Authenticator | None:
        """That of mappings with this file; None if they have none."""
        if not path:
            return None
        found = self._by_path.get(path)
        if found is None:
            found = self._by_path[path] = Authenticator(self._checks)
        return found

    def use(self, path: str, passwords: Passwords) -> None:
        """Verify by these passwords where mappings have this file."""
        found = self.of(path)
        assert found is not None
        found.use(passwords)

    def keep_only(self, wanted: Collection[str]) -> None:
        """Drop the passwords of all files but these."""
        for gone in self._by_path.keys() - set(wanted):
            del self._by_path[gone]

    def stop(self) -> None:
        """Verify no more."""
        self._checks.stop()
