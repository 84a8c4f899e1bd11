"""Files of users and passwords: what is taken, and which line is refused."""

import pytest

from lbconsul.errors import ConfigError
from lbconsul.http import htpasswd
from lbconsul.http.htpasswd import parse_htpasswd

HASH = b"$2y$05$" + b"a" * 53
WHERE = "80:web: basic-auth /htpasswd"


def test_users() -> None:
    """Comments, empty lines, the ends of lines of Windows and further fields count for
    nothing; a name may be of any alphabet."""
    users = "# staff\n\nalice:{0}\r\nbjörn:{0}:a comment\n  \n"
    found = parse_htpasswd(WHERE, users.format(HASH.decode()).encode())
    assert found.hashes == {b"alice": HASH, "björn".encode(): HASH}
    assert HASH.decode() not in repr(found)


WRONG = {
    b"alice:secret": "the password of alice is plain text, or of an unknown kind, not a"
    " hash of bcrypt: htpasswd -B makes one",
    b"alice:$apr1$ab$cd": "the password of alice is a hash of MD5, not a hash of"
    " bcrypt: htpasswd -B makes one",
    b"alice:{SHA}abcd": "the password of alice is a hash of SHA-1, not a hash of"
    " bcrypt: htpasswd -B makes one",
    b"a\xff:$2x$05$" + b"a" * 53: "the password of a\N{REPLACEMENT CHARACTER} is a"
    " faulty bcrypt, not a hash of bcrypt: htpasswd -B makes one",
    b"u" * 99
    + b":x": "the password of a user is plain text, or of an unknown kind, not"
    " a hash of bcrypt: htpasswd -B makes one",
    b"secret": "must be USER:HASH, as htpasswd -B writes it",
    b":" + HASH: "must be USER:HASH, as htpasswd -B writes it",
    b"a\0:" + HASH: "must be USER:HASH, as htpasswd -B writes it",
    b"alice:" + HASH.replace(b"05", b"15"): "the hash of alice has the cost 15; it must"
    " be from 4 to 14, of which each doubles the time of a login",
    b"first:" + HASH: "first is in a line before, too",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_lines(line: bytes) -> None:
    """A line that cannot be used is named by its number, without what it holds."""
    with pytest.raises(ConfigError) as raised:
        parse_htpasswd(WHERE, b"first:%b\n%b\n" % (HASH, line))
    assert str(raised.value) == f"{WHERE}: line 2: {WRONG[line]}"


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without users would keep everybody out, and one has a limit."""
    with pytest.raises(ConfigError, match="holds no user: htpasswd -B adds one"):
        parse_htpasswd(WHERE, b"# none\n")
    monkeypatch.setattr(htpasswd, "MOST_USERS", 1)
    with pytest.raises(ConfigError, match="holds more than 1 users"):
        parse_htpasswd(WHERE, b"a:%b\nb:%b" % (HASH, HASH))
