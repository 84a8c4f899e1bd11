"""How single values are written, what they are taken for, and what is refused."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbconsul.config import values
from lbconsul.config.model import WhenEmpty
from lbconsul.config.option import Option
from lbconsul.config.options import OPTIONS


class TestDuration:
    """Durations are a number and a unit."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("500ms", 0.5),
            ("5s", 5.0),
            ("0.25s", 0.25),
            ("2m", 120.0),
            ("1.5h", 5400.0),
            ("365d", 31536000.0),
            ("999999999h", 999999999 * 3600.0),
        ],
    )
    def test_units(self, text: str, seconds: float) -> None:
        """Milliseconds, seconds, minutes, hours and days are understood."""
        assert values.duration(text) == pytest.approx(seconds, rel=1e-12)

    @pytest.mark.parametrize(
        "text",
        ["", "5", "s", "5 s", "-5s", "5s\n", "5w", "1e3s", ".5s", "9" * 400 + "s"],
    )
    def test_no_duration(self, text: str) -> None:
        """Without a unit, with an unknown one, or absurdly long, it is refused."""
        with pytest.raises(ValueError, match=r"number with a unit, such as 500ms, 5s"):
            values.duration(text)

    def test_a_duration_of_zero(self) -> None:
        """A duration of nothing is refused: it would end everything at once."""
        with pytest.raises(ValueError, match="must be longer than 0"):
            values.duration("0.0s")

    @given(
        number=st.integers(1, 999_999_999),
        unit=st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)]),
    )
    def test_round_trip(self, number: int, unit: tuple[str, float]) -> None:
        """Whatever is written as a whole number of units is so many of them."""
        assert values.duration(f"{number}{unit[0]}") == number * unit[1]

    @given(st.floats(0.001, 1e8))
    def test_round_trip_of_fractions(self, seconds: float) -> None:
        """Seconds written with their decimals are read as they were."""
        assert values.duration(f"{seconds:.9f}s") == float(f"{seconds:.9f}")


class TestSwitch:
    """A switch is on or off."""

    @pytest.mark.parametrize("text", ["on", "true", "1", "yes", "TRUE", "On"])
    def test_on(self, text: str) -> None:
        """What Consul's own variables take for true is on."""
        assert values.switch(text) is True

    @pytest.mark.parametrize("text", ["off", "false", "0", "no", "False"])
    def test_off(self, text: str) -> None:
        """What Consul's own variables take for false is off."""
        assert values.switch(text) is False

    @pytest.mark.parametrize("text", ["", "maybe", "2", " on"])
    def test_neither(self, text: str) -> None:
        """Anything else is refused rather than taken for off."""
        with pytest.raises(ValueError, match="must be on or off"):
            values.switch(text)


class TestGoBool:
    """Booleans as Consul's own tools read them."""

    @pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
    def test_true(self, text: str) -> None:
        """Each of Go's words for true is one."""
        assert values.go_bool(text) is True

    @pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
    def test_false(self, text: str) -> None:
        """Each of Go's words for false is one."""
        assert values.go_bool(text) is False

    @pytest.mark.parametrize("text", ["", "on", "yes", "tRUE", "2", "true "])
    def test_neither(self, text: str) -> None:
        """A value that Go would only warn of is refused, with all valid ones."""
        with pytest.raises(ValueError, match=r"^must be one of 1, t, .*, False$"):
            values.go_bool(text)


class TestNumbers:
    """Whole numbers, permissions and ports."""

    def test_whole(self) -> None:
        """A whole number may be the least one allowed, or more."""
        assert values.whole(1)("1") == 1
        assert values.whole(1)("77") == 77
        assert values.whole(0)("0") == 0

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many", "101"])
    def test_not_whole(self, text: str) -> None:
        """The error names the range."""
        with pytest.raises(ValueError, match=r"must be a whole number from 1 to 100$"):
            values.whole(1, 100)(text)

    def test_worker_count(self) -> None:
        """Workers are counted, or as many as there are cores."""
        assert values.worker_count("1") == 1
        assert values.worker_count("256") == 256
        assert values.worker_count("auto") == 0

    @pytest.mark.parametrize("text", ["0", "-1", "257", "2.5", "", "all", "AUTO"])
    def test_no_worker_count(self, text: str) -> None:
        """The error says what would be right, auto included."""
        with pytest.raises(
            ValueError, match=r"must be a whole number from 1 to 256, or auto$"
        ):
            values.worker_count(text)

    def test_file_mode(self) -> None:
        """Permissions are octal, with or without a leading 0."""
        assert values.file_mode("660") == 0o660
        assert values.file_mode("0777") == 0o777

    @pytest.mark.parametrize("text", ["66", "6600", "rw", "888", "1777", ""])
    def test_no_file_mode(self, text: str) -> None:
        """A text that is not three octal digits is refused."""
        with pytest.raises(ValueError, match="three octal digits, such as 660"):
            values.file_mode(text)


class TestHints:
    """What is likely meant by a word that is mistyped."""

    @pytest.mark.parametrize(
        ("word", "near"),
        [
            ("leastcon", "leastconn"),
            ("laestconn", "leastconn"),
            ("round", "roundrobin"),
            ("P2C", ""),
            ("r", "random"),
            ("fastest", ""),
            ("", ""),
        ],
    )
    def test_nearest(self, word: str, near: str) -> None:
        """The hint is the shortest choice that begins so, or one that looks like it."""
        policies = ("leastconn", "p2c", "random", "roundrobin")
        assert values.nearest(word, policies) == near

    @pytest.mark.parametrize(
        ("parse", "text", "said"),
        [
            (values.one_of(["text", "json"]), "jsn", "unknown; did you mean json? It"),
            (values.switch, "onn", "did you mean on? It must be on or off"),
            (values.health, "passing,warnin", "did you mean warning? It must be pass"),
            (values.health, "an", "did you mean any? It must be passing;"),
            (values.when_empty, "falback=x", "did you mean fallback? It must be clo"),
        ],
    )
    def test_choices(
        self, parse: Callable[[str], object], text: str, said: str
    ) -> None:
        """The error of each option with fixed choices names the likely one."""
        with pytest.raises(ValueError) as raised:
            parse(text)
        assert str(raised.value).startswith(said)


class TestWords:
    """Names, choices, statuses."""

    def test_one_of(self) -> None:
        """A known choice is taken; an unknown one is answered with the known."""
        policy = values.one_of(["p2c", "leastconn"])
        assert policy("p2c") == "p2c"
        with pytest.raises(ValueError, match="unknown; it is one of leastconn, p2c"):
            policy("fastest")

    @pytest.mark.parametrize("text", ["first", "a-b.c", "pkg:Own", "pkg.mod_2:Own"])
    def test_code(self, text: str) -> None:
        """Code is named by an entry point, or by a module and a name in it."""
        assert values.OneOfOrCode(())(text) == text

    @pytest.mark.parametrize("text", ["", "pkg:", ":Own", "a/b:c", "a:b.c", "a b"])
    def test_no_code(self, text: str) -> None:
        """What names no code is answered with what would."""
        with pytest.raises(ValueError) as raised:
            values.OneOfOrCode(("one", "two"))(text)
        assert str(raised.value) == (
            "must be one, two, the name of an entry point, or MODULE:NAME such as"
            " mypackage.mymodule:MyClass"
        )

    def test_hooks(self) -> None:
        """Several may be named, each once."""
        assert values.hooks("audit|pkg.mod:Own") == ("audit", "pkg.mod:Own")
        with pytest.raises(ValueError, match="must name each of them once"):
            values.hooks("audit|audit")
        with pytest.raises(ValueError, match="must be MODULE:NAME such as mypackage"):
            values.hooks("audit|")

    @pytest.mark.parametrize("text", ["web", "my.web_service-2", "Straße", "a=b"])
    def test_name(self, text: str) -> None:
        """A name may hold whatever is no separator of ours or of a URL."""
        assert values.name(text) == text

    @pytest.mark.parametrize(
        "text", ["", "a b", "a/b", "a?b", "a#b", "a:b", "a,b", "a\n", "a\x1b[2J"]
    )
    def test_no_name(self, text: str) -> None:
        """Separators, white space and control characters make no name."""
        with pytest.raises(ValueError, match="must be a name without spaces"):
            values.name(text)

    @pytest.mark.parametrize(
        ("text", "statuses"),
        [
            ("passing", {"passing"}),
            ("passing,warning", {"passing", "warning"}),
            ("warning+passing", {"passing", "warning"}),
            ("any", {"passing", "warning", "critical"}),
        ],
    )
    def test_health(self, text: str, statuses: set[str]) -> None:
        """``any`` includes critical instances, but none in maintenance."""
        assert values.health(text) == statuses

    @pytest.mark.parametrize("text", ["", "warning", "passing,critical", "passing,"])
    def test_no_health(self, text: str) -> None:
        """A service without its passing instances is no sensible wish."""
        with pytest.raises(
            ValueError, match="must be passing; passing,warning; or any"
        ):
            values.health(text)


class TestDurationOrOff:
    """What can be off is a duration, or off."""

    @pytest.mark.parametrize("text", ["off", "0", "0s"])
    def test_off(self, text: str) -> None:
        """Off can be said, and so can nothing at all."""
        assert values.duration_or_off(text) == 0.0

    def test_on(self) -> None:
        """Any duration is as it is elsewhere."""
        assert values.duration_or_off("500ms") == 0.5

    @pytest.mark.parametrize("text", ["", "on", "5", "OFF", "-1s"])
    def test_neither(self, text: str) -> None:
        """The error says what would be right, off included."""
        with pytest.raises(ValueError, match=r"^must be a number .* or 7d, or off$"):
            values.duration_or_off(text)


class TestDurationBetween:
    """A duration within bounds."""

    @pytest.mark.parametrize(
        ("text", "seconds"), [("1s", 1), ("1.5s", 1.5), ("2m", 120)]
    )
    def test_within(self, text: str, seconds: float) -> None:
        """The bounds themselves are within."""
        assert values.duration_between(1.0, 120.0)(text) == seconds

    @pytest.mark.parametrize("text", ["999ms", "121s", "1h"])
    def test_beyond(self, text: str) -> None:
        """The error names the bounds."""
        with pytest.raises(ValueError, match=r"^must be from 1s to 120s$"):
            values.duration_between(1.0, 120.0)(text)

    def test_no_duration(self) -> None:
        """A text that is no duration gets the usual error."""
        with pytest.raises(ValueError, match="with a unit"):
            values.duration_between(1.0, 120.0)("30")


class TestPercentage:
    """A part of something, in percent."""

    @pytest.mark.parametrize(
        ("text", "part"), [("off", 0), ("1%", 1), ("50%", 50), ("99%", 99)]
    )
    def test_parts(self, text: str, part: int) -> None:
        """A part is less than all and more than nothing, which is off."""
        assert values.percentage("%")(text) == part

    @pytest.mark.parametrize(
        "text", ["", "50", "0%", "100%", "5.5%", "-5%", "05%", "50 %", "on", "50%/min"]
    )
    def test_no_parts(self, text: str) -> None:
        """
        The error names the range, when it is exceeded and when the sign is missing.
        """
        with pytest.raises(
            ValueError, match=r"^must be off, or a share from 1% to 99%$"
        ):
            values.percentage("%")(text)

    def test_another_unit(self) -> None:
        """A part each minute is written as such."""
        parse = values.percentage("%/min")
        assert [parse("5%/min"), parse("off")] == [5, 0]
        with pytest.raises(ValueError, match=r"a share from 1%/min to 99%/min$"):
            parse("5%")


class TestDatacenters:
    """One datacenter, or several to fall back to."""

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("dc1", ("dc1",)),
            ("dc2|dc1", ("dc2", "dc1")),
            ("a|b-2|c_3", ("a", "b-2", "c_3")),
        ],
    )
    def test_order(self, text: str, names: tuple[str, ...]) -> None:
        """Datacenters keep their order: the first is the one to use."""
        assert values.datacenters(text) == names

    @pytest.mark.parametrize(
        "text", ["", "|", "dc1|", "|dc1", "dc1||dc2", "dc1 | dc2", "dc1,dc2", "a/b"]
    )
    def test_no_names(self, text: str) -> None:
        """
        Each datacenter needs a name without spaces; the error names the separator.
        """
        with pytest.raises(
            ValueError, match=r"^must be a datacenter's name, or several as dc1\|dc2$"
        ):
            values.datacenters(text)

    def test_a_name_twice(self) -> None:
        """To fall back to the same datacenter is no fallback."""
        with pytest.raises(ValueError, match=r"^must name each datacenter once$"):
            values.datacenters("dc1|dc2|dc1")

    @given(
        st.lists(st.from_regex(r"[\w-]{1,9}", fullmatch=True), min_size=1, unique=True)
    )
    def test_round_trip(self, names: list[str]) -> None:
        """Whatever datacenters are called, they are read as they were written."""
        assert values.datacenters("|".join(names)) == tuple(names)


class TestWhenEmpty:
    """What happens to clients when no instance is left."""

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("close", WhenEmpty()),
            ("wait=5s", WhenEmpty(wait=5.0)),
            ("wait=500ms", WhenEmpty(wait=0.5)),
            ("fallback=sorry", WhenEmpty(fallback="sorry")),
            (
                "fallback=sorry.example:80",
                WhenEmpty(fallback="sorry.example:80", is_address=True),
            ),
            (
                "fallback=my_host.:80",
                WhenEmpty(fallback="my_host.:80", is_address=True),
            ),
            (
                "fallback=127.0.0.1:080",
                WhenEmpty(fallback="127.0.0.1:80", is_address=True),
            ),
            ("fallback=[::1]:80", WhenEmpty(fallback="[::1]:80", is_address=True)),
        ],
    )
    def test_forms(self, text: str, meant: WhenEmpty) -> None:
        """They are closed, held, or served by a fallback."""
        assert values.when_empty(text) == meant

    @pytest.mark.parametrize(
        "text",
        ["", "wait", "wait=", "fallback", "fallback=", "close=5s", "open", "5s", "off"],
    )
    def test_none_of_them(self, text: str) -> None:
        """The error about another form lists all forms."""
        with pytest.raises(
            ValueError,
            match=r"^must be close, wait=5s, fallback=SERVICE or fallback=HOST:PORT$",
        ):
            values.when_empty(text)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("wait=5", "must be a number with a unit, such as 500ms, 5s"),
            ("wait=0s", "must be longer than 0"),
            ("wait=off", "must be a number with a unit"),
            ("fallback=a b", "must be a name without spaces"),
            ("fallback=a/b", "must be a name without spaces"),
            ("fallback=host:http", "port 'http' must be a number from 1 to 65535"),
            ("fallback=host:0", "port '0' must be a number from 1 to 65535"),
        ],
    )
    def test_wrong_values(self, text: str, why: str) -> None:
        """A wrong time, name or port gets the usual error."""
        with pytest.raises(ValueError, match=f"^{why}"):
            values.when_empty(text)

    @pytest.mark.parametrize(
        "host",
        [
            "", "a b", "::1", "[::1", "::1]", "[::1]]", "[a]", "[127.0.0.1]", "[zz::]",
            "[fe80::1]", "a..b", ".", "http://a", "a" * 64, "a\n", "*", "0.0.0.0",
            "010.0.0.1", "10.0.0", "224.0.0.1", "[::]", " a",
        ],
    )  # fmt: skip
    def test_no_hosts(self, host: str) -> None:
        """
        A fallback that can be neither host name nor address is refused at the start.
        """
        wrong = re.escape(repr(f"{host}:80"))
        with pytest.raises(
            ValueError,
            match=f"^{wrong} must be a service or HOST:PORT, .*, or an IPv6 one in br",
        ):
            values.when_empty(f"fallback={host}:80")

    @given(
        st.one_of(
            st.just("close"),
            st.builds("wait={}{}".format, st.integers(1, 10**9 - 1), st.just("s")),
            st.builds("wait={}{}".format, st.integers(1, 10**9 - 1), st.just("ms")),
            st.from_regex(r"fallback=[a-z]([a-z0-9-]{0,9}[a-z])?", fullmatch=True),
            st.builds(
                "fallback={}:{}".format,
                st.ip_addresses(v=4, network="10.0.0.0/8"),
                st.integers(1, 9),
            ),
            st.builds(
                "fallback=[{}]:{}".format,
                st.ip_addresses(v=6, network="2000::/3"),
                st.integers(1, 9),
            ),
        )
    )
    def test_round_trip(self, text: str) -> None:
        """A fallback's shown text can be written back."""
        meant = values.when_empty(text)
        again = values.when_empty(str(meant))
        assert again.wait == pytest.approx(meant.wait, rel=1e-12)
        assert again.fallback == meant.fallback


def taken_or_refused(option: Option, text: str) -> None:
    """Assert that an option takes a text, or refuses it in words."""
    try:
        option.parse(text)
    except ValueError as error:
        assert re.search(r"must|unknown|cannot|is no ", str(error)), text
        assert str(error).isprintable() or not text.isprintable(), text


#: What nearly means something to an option, or does to another one.
ODD = [
    "", " ", ",", "=", ":", "/", "|", "-", "%", ".", "[", "]", "[]", "@", "*", "$", "'",
    "\"", "\\", "\0", "\n", "\t", "\x7f", "\x85", "\xa0", "\u2028", "\ud800",
    "\U0010ffff", "0", "00", "-0", "-1", "+1", "1.", ".5", "1e9", "0x1", "1_0",
    "\u0663", "\xb2", "9" * 400, "inf", "nan", "1s", "1ms", "1d", "1 s", "1%", "100%",
    "101%", "1/s", "1/", "/s", "1KiB", "1KiB/s", "1:1", "1:1s", "a", "A", "ab", "a=b",
    "a:b", "a: b", "a|b", "a/b", "/a", "//", "/a/", "/a/../b", "^/(a) /$1", "( /a",
    "503:/a", "503:", ":503", "301:/a", "a,b", "a b", "on", "off", "ON", "none", "auto",
    "keep", "wait=", "wait=1s", "fallback=", "fallback=a", "::", "[::]", "[::]:80",
    "[::1]:80:a", "127.0.0.1", "127.0.0.1:80", "1.2.3.4/33", "::/129",
    "10.0.0.0/8|::/0", "host", "Host: a", "Connection", "x-a", "X_A: ${a}", "$x",
    "a.example.com", "*.example.com", "*", "a..b", "\xe4", "xn--", "~/a", "consul:a",
]  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_odd_texts(option: Option) -> None:
    """No text brings an option down: it is taken, or refused in words."""
    for text in ODD:
        taken_or_refused(option, text)


@settings(max_examples=500, derandomize=True)
@given(
    option=st.sampled_from(list(OPTIONS.values())),
    text=st.one_of(st.text(), st.text("0123456789abfsmhn%/:|,=.[] -", max_size=12)),
)
def test_any_text(option: Option, text: str) -> None:
    """Nor do texts that are made up."""
    taken_or_refused(option, text)


@given(prefix=st.sampled_from(["wait=", "fallback="]), text=st.text())
def test_any_text_behind_a_word(prefix: str, text: str) -> None:
    """The same, behind the words that something may follow."""
    try:
        meant = values.when_empty(prefix + text)
    except ValueError as error:
        assert "must" in str(error)
    else:
        assert (meant.wait > 0) == (prefix == "wait=")
        assert bool(meant.fallback) == (prefix == "fallback=")
