"""Cookies of the gateway's own: tokens, and how they are set and read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.cookies import CookieAttributes
from lbconsul.http.signed_cookie import (
    LENGTH,
    Tokens,
    cookie_values,
    set_cookie,
    without_cookie,
)

KEY, OTHER = b"k" * 32, b"o" * 32
WORDS = st.lists(st.text(), min_size=1, max_size=4)


class TestTokens:
    """What stands for a thing in a cookie."""

    @given(WORDS)
    def test_a_token_says_nothing_and_fits_a_cookie(self, words: list[str]) -> None:
        """It is 22 characters of base64url, whatever it stands for."""
        token = Tokens("sticky", [KEY]).token(*words)
        assert re.fullmatch(rb"[A-Za-z0-9_-]{22}", token)
        assert len(token) == LENGTH

    @given(WORDS, WORDS)
    def test_only_equal_words_have_equal_tokens(
        self, words: list[str], others: list[str]
    ) -> None:
        """Neither other words nor words cut elsewhere have the same token."""
        tokens = Tokens("sticky", [KEY])
        same = tokens.token(*words) == tokens.token(*others)
        assert same == (words == others)

    def test_another_key_or_purpose_makes_other_tokens(self) -> None:
        """A client cannot use a token elsewhere, nor one of another site's gateway."""
        tokens = {
            Tokens("sticky", [KEY]).token("a"),
            Tokens("split", [KEY]).token("a"),
            Tokens("sticky", [OTHER]).token("a"),
        }
        assert len(tokens) == 3

    def test_the_tokens_of_an_old_key_are_known(self) -> None:
        """The first key makes tokens; a key behind it keeps those of before valid."""
        old, new = Tokens("sticky", [KEY]), Tokens("sticky", [OTHER, KEY])
        assert new.known("a") == [new.token("a"), old.token("a")]

    def test_keys_are_not_shown(self) -> None:
        """Neither a log nor a traceback shows a key."""
        assert "kkk" not in repr(Tokens("sticky", [KEY]))


class TestReading:
    """The cookies that a client sends."""

    @pytest.mark.parametrize(
        ("lines", "values"),
        [
            (b"", []),
            (b"Host: a\r\nCookie: x=1; lb=abc; y=2\r\n", [b"abc"]),
            (b"cookie: lb=abc\r\n", [b"abc"]),
            (b"Cookie:lb=abc\r\n", [b"abc"]),
            (b'Cookie: lb="abc"\r\n', [b"abc"]),
            (b"Cookie: lb=1;lb=2\r\nCookie: lb=3\r\n", [b"1", b"2", b"3"]),
            (b"Cookie: xlb=1; LB=2; lbx=3; lb\r\n", []),
            (b"X-Cookie: lb=1\r\nReferer: lb=2\r\n", []),
            (b"Cookie: lb=\r\n", [b""]),
            (b"Cookie: " + b"lb=1; " * 100 + b"\r\n", [b"1"] * 8),
        ],
    )
    def test_values_come_in_order(self, lines: bytes, values: list[bytes]) -> None:
        """Each value of exactly this name, a bounded number of them."""
        assert cookie_values(lines, b"lb") == values

    @pytest.mark.parametrize(
        ("lines", "rest"),
        [
            (b"Host: a\r\n", b"Host: a\r\n"),
            (b"Cookie: x=1; lb=2; y=3\r\n", b"Cookie: x=1; y=3\r\n"),
            (b"Cookie: lb=2; y=3\r\nHost: a\r\n", b"Cookie: y=3\r\nHost: a\r\n"),
            (b"A: 1\r\nCookie: lb=2\r\nB: 2\r\n", b"A: 1\r\nB: 2\r\n"),
            (b"Cookie: lb=1; lb=2\r\n", b""),
            (b"Cookie: xlb=1;  LB=2\r\n", b"Cookie: xlb=1;  LB=2\r\n"),
            (b"Referer: lb=2\r\n", b"Referer: lb=2\r\n"),
        ],
    )
    def test_the_cookie_is_taken_out(self, lines: bytes, rest: bytes) -> None:
        """The other cookies and fields stay as they are."""
        assert without_cookie(lines, b"lb") == rest
        assert not cookie_values(rest, b"lb")


class TestSetting:
    """The cookie that a client gets."""

    def test_it_is_careful_by_default(self) -> None:
        """Not for scripts, not from other sites, and by TLS alone where it came so."""
        usual = CookieAttributes()
        assert set_cookie(b"lb", b"abc", usual, is_https=False) == (
            b"Set-Cookie: lb=abc; Path=/; HttpOnly; SameSite=Lax\r\n"
        )
        assert set_cookie(b"lb", b"abc", usual, is_https=True) == (
            b"Set-Cookie: lb=abc; Path=/; Secure; HttpOnly; SameSite=Lax\r\n"
        )

    def test_all_of_it_can_be_chosen(self) -> None:
        """Path, age, and what the browser may do with it."""
        chosen = CookieAttributes("/app", 3600.0, "on", False, "none")
        assert set_cookie(b"lb", b"abc", chosen, is_https=False) == (
            b"Set-Cookie: lb=abc; Path=/app; Max-Age=3600; Secure; SameSite=None\r\n"
        )
        never = CookieAttributes(secure="off", same_site="strict")
        assert b"Secure" not in set_cookie(b"lb", b"abc", never, is_https=True)
