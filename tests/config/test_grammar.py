"""How addresses and mappings are written."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config import grammar
from lbconsul.config.consul import ConsulAddress
from lbconsul.config.listen import SystemdListen, TCPListen, UnixListen
from lbconsul.config.model import Admin
from lbconsul.config.options import OPTIONS


class TestUnknown:
    """An unknown word."""

    def test_unknown_word_with_a_guess(self) -> None:
        """The error about a misspelt option names the likely one."""
        assert grammar.unknown("option", "polcy", ["tag", "policy"]) == (
            "unknown option 'polcy'; did you mean 'policy'?"
        )

    def test_unknown_word_without_a_guess(self) -> None:
        """A word like no other is answered with all there are."""
        assert grammar.unknown("option", "zzz", ["tag", "policy"]) == (
            "unknown option 'zzz'; known are policy, tag"
        )

    @pytest.mark.parametrize(("old", "new"), sorted(grammar.RENAMED.items()))
    def test_renamed(self, old: str, new: str) -> None:
        """An option's former name is answered with the name that it has now."""
        known = [*OPTIONS, *(f"--{each}" for each in OPTIONS)]
        assert grammar.unknown("option", old, known) == f"{old} is called {new} now"
        assert grammar.unknown("option", f"--{old}", known) == (
            f"--{old} is called --{new} now"
        )

    def test_renamed_elsewhere(self) -> None:
        """Where an option of the new name does not exist, it is not suggested."""
        said = grammar.unknown("option", "mode", ["tag"])
        assert said == "unknown option 'mode'; known are tag"


class TestListenAddress:
    """Where to listen."""

    @pytest.mark.parametrize(
        ("text", "listen"),
        [
            ("80", TCPListen("0.0.0.0", 80)),
            (":80", TCPListen("0.0.0.0", 80)),
            ("127.0.0.1:8080", TCPListen("127.0.0.1", 8080)),
            ("localhost:8080", TCPListen("127.0.0.1", 8080)),
            ("[::]:81", TCPListen("::", 81)),
            ("[2001:DB8::0001]:81", TCPListen("2001:db8::1", 81)),
            ("unix:/run/web.sock", UnixListen("/run/web.sock")),
            ("systemd:web", SystemdListen("web")),
            ("systemd:0", SystemdListen("0")),
        ],
    )
    def test_forms(self, text: str, listen: object) -> None:
        """A port, an address and port, a UNIX socket, a socket of systemd's."""
        assert grammar.listen_address(text) == listen

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("unix:web.sock", "a UNIX socket's path must begin with /"),
            ("systemd:", "must be a name without spaces"),
            (
                "myhost:80",
                "address 'myhost' must be an IP address, v6 ones in brackets",
            ),
            ("127.0.0.1:", "port '' must be a number"),
            ("unix:/a\0b", "must begin with / and be printable"),
            (f"unix:/{'x' * 107}", "has 107 bytes at most"),
            (f"unix:/{'ä' * 54}", "has 107 bytes at most"),
            ("http", "port 'http' must be a number"),
        ],
    )
    def test_mistakes(self, text: str, why: str) -> None:
        """Each error says what would be right."""
        with pytest.raises(ValueError, match=why):
            grammar.listen_address(text)


class TestConsulAddress:
    """Where Consul is."""

    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("myconsul:8500", ConsulAddress("http", "myconsul", 8500)),
            ("myconsul", ConsulAddress("http", "myconsul", 8500)),
            ("[::1]:8501", ConsulAddress("http", "::1", 8501)),
            ("http://consul", ConsulAddress("http", "consul", 8500)),
            ("https://consul", ConsulAddress("https", "consul", 8501)),
            ("https://consul:443/", ConsulAddress("https", "consul", 443)),
            ("http://lb:80/consul/", ConsulAddress("http", "lb", 80, "/consul")),
            ("unix:///run/consul.sock", ConsulAddress("unix", path="/run/consul.sock")),
        ],
    )
    def test_forms(self, text: str, address: ConsulAddress) -> None:
        """A host, a host and port, or a URL; the port is Consul's own if not said."""
        assert grammar.consul_address(text) == address

    def test_bare_with_tls(self) -> None:
        """With CONSUL_HTTP_SSL no address is spoken to in the clear."""
        assert str(grammar.consul_address("consul", tls=True)) == "https://consul:8501"
        assert str(grammar.consul_address("http://c:1", tls=True)) == "https://c:1"
        assert grammar.consul_address("unix:///c", tls=True).tls

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "must be host:port or a URL such as https://consul:8501"),
            ("ftp://consul", "must be host:port or a URL such as"),
            ("unix://consul", "must be host:port or a URL such as"),
            ("unix://", "must be host:port or a URL such as"),
            ("consul:0", "must be host:port or a URL such as"),
            ("consul:99999", "the port must be a number from 1 to 65535"),
            ("consul:http", "the port must be a number from 1 to 65535"),
            ("http://me:secret@consul", "without user, query and fragment"),
            ("http://consul?x=1", "without user, query and fragment"),
            ("http://consul#x", "without user, query and fragment"),
            ("my consul:8500", "without user, query and fragment"),
            ("consul/prefix", "a path needs the URL form"),
            ("[::1", "in brackets, as"),
            ("my..consul:8500", "'my..consul' is not a host name"),
            ("https://my_consul", "'my_consul'"),
            ("::1", "in brackets, as"),
            ("http://[::1", "in brackets, as"),
        ],
    )
    def test_mistakes(self, text: str, why: str) -> None:
        """Each error says what would be right."""
        with pytest.raises(ValueError, match=why):
            grammar.consul_address(text)


class TestLooksLikeMapping:
    """Whether the first word of the short form is Consul's address or a mapping."""

    @pytest.mark.parametrize(
        "text",
        [
            "80:web",
            "127.0.0.1:80:web",
            "localhost:80:web",
            ":80:web",
            "[::]:80:web",
            "unix:/run/web.sock:web",
            "unix:rel.sock:web",
            "systemd:web:web",
            '80:web,filter=Service.Meta.url == "http://x"',
        ],
    )
    def test_mappings(self, text: str) -> None:
        """What has a port and a service can only be a mapping."""
        assert grammar.looks_like_mapping(text)

    @pytest.mark.parametrize(
        "text",
        [
            "myconsul:8500",
            "myconsul",
            "10.0.0.1:8500",
            "[::1]:8500",
            "[2001:db8:1:2::5]:8500",
            "http://consul:8500",
            "https://[2001:db8:1:2::5]:8501",
            "unix:///run/consul.sock",
            "unix",
            "unix:8500",
        ],
    )
    def test_consul_addresses(self, text: str) -> None:
        """A host and a port, a URL: that is where Consul is."""
        assert not grammar.looks_like_mapping(text)


FILTER = {"filter": '"x,b=y"'}


class TestSplitMapping:
    """How a mapping is cut up."""

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("80:web", ("80", "web", {})),
            ("127.0.0.1:80:web", ("127.0.0.1:80", "web", {})),
            ("[::]:81:graphite", ("[::]:81", "graphite", {})),
            ("unix:/run/a,b.sock:web", ("unix:/run/a,b.sock", "web", {})),
            ("systemd:web:web,tag=v2", ("systemd:web", "web", {"tag": "v2"})),
            ("80:web,tag=v2,policy=p2c", ("80", "web", {"tag": "v2", "policy": "p2c"})),
            ("80:w,health=passing,warning", ("80", "w", {"health": "passing,warning"})),
            ("80:web,tag=a=b", ("80", "web", {"tag": "a=b"})),
            ("80:web,tag=", ("80", "web", {"tag": ""})),
            ('80:w,filter="x,b=y",tag=6', ("80", "w", FILTER | {"tag": "6"})),
            ("80:w,filter=a == `,b=y`", ("80", "w", {"filter": "a == `,b=y`"})),
            (r'80:w,filter="\",b=y"', ("80", "w", {"filter": r'"\",b=y"'})),
            ('80:"a b/c:d,e",tag=v2', ("80", "a b/c:d,e", {"tag": "v2"})),
            ('[::1]:80:"a:b"', ("[::1]:80", "a:b", {})),
            ('unix:/run/w:"a:b"', ("unix:/run/w", "a:b", {})),
            (r'80:"\"\\"', ("80", '"' + "\\", {})),
            ('80:a"b', ("80", 'a"b', {})),
        ],
    )  # fmt: skip
    def test_forms(self, text: str, parts: object) -> None:
        """A comma begins an option, unless it is quoted or no option follows."""
        assert grammar.split_mapping(text) == parts

    @pytest.mark.parametrize(
        "text", ["", "80", "web", "a:b:c:d", "80;web", "[::1:80:w"]
    )
    def test_no_mapping(self, text: str) -> None:
        """What has no port and service is answered with the form of a mapping."""
        with pytest.raises(ValueError, match=r"must be \[ADDRESS:\]PORT:SERVICE"):
            grammar.split_mapping(text)

    @pytest.mark.parametrize("text", ['80:"a', '80:"a"b', '80:"a"",tag=x', '80"a":b'])
    def test_unbalanced_quotes(self, text: str) -> None:
        """A quote that is not closed is answered with how a quoted service looks."""
        with pytest.raises(ValueError, match=r'quoted: 80:"a b/c",tag=v2$'):
            grammar.split_mapping(text)

    @pytest.mark.parametrize("text", ["80:a b", "80:", "80:a/b", "80:a?"])
    def test_a_service_that_needs_quotes(self, text: str) -> None:
        """A name that would not say itself is answered with the quotes it needs."""
        with pytest.raises(
            ValueError, match=r"^service must be .*, or in double quotes$"
        ):
            grammar.split_mapping(text)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("80:web,", "'' must be option=value"),
            ("80:web,v2", "'v2' must be option=value"),
            ("80:web,tag=a,tag=b", "option 'tag' is given twice"),
        ],
    )
    def test_wrong_options(self, text: str, why: str) -> None:
        """An option without a value, or given twice, is refused."""
        with pytest.raises(ValueError, match=why):
            grammar.split_mapping(text)

    @pytest.mark.parametrize(
        ("text", "options"),
        [
            (
                "set-header=X-A: 1,tag=b,set-header=X-B: 2",
                {"set-header": "X-A: 1,set-header=X-B: 2", "tag": "b"},
            ),
            (
                "set-response-header=Cache-Control: public, max-age=60,tag=b",
                {
                    "set-response-header": "Cache-Control: public, max-age=60",
                    "tag": "b",
                },
            ),
            (
                'set-response-header="Cache-Control: public,max-age=60",tag=b',
                {
                    "set-response-header": '"Cache-Control: public,max-age=60"',
                    "tag": "b",
                },
            ),
            (
                "redirect=301,https://a.com/?b=c,tag=b",
                {"redirect": "301,https://a.com/?b=c", "tag": "b"},
            ),
            (
                "rewrite=^/a{1,2}/(.*)$ /b?c=$1,tag=b",
                {"rewrite": "^/a{1,2}/(.*)$ /b?c=$1", "tag": "b"},
            ),
        ],
    )
    def test_texts(self, text: str, options: dict[str, str]) -> None:
        """Some options may be given several times, and hold commas and what follows."""
        assert grammar.split_mapping(f"80:web,{text}") == ("80", "web", options)

    def test_a_blank_after_a_comma(self) -> None:
        """Other options hold no other option after a comma and a blank."""
        _, _, options = grammar.split_mapping("80:web,tag=a, policy=p2c")
        assert options == {"tag": "a", " policy": "p2c"}

    @given(
        st.dictionaries(
            st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True),
            st.tuples(
                st.from_regex(r"[a-z0-9 .=]{0,6}", fullmatch=True),
                st.sampled_from(['"', "`"]),
                st.from_regex(r"[a-z0-9 ,=:/]{0,12}", fullmatch=True),
            ),
            max_size=5,
        )
    )
    def test_quoted_commas(self, said: dict[str, tuple[str, str, str]]) -> None:
        """Whatever stands within quotes, the options come out as they went in."""
        options = {
            key: f"{plain}{quote}{quoted}{quote}"
            for key, (plain, quote, quoted) in said.items()
        }
        text = ",".join(["80:web", *(f"{key}={it}" for key, it in options.items())])
        assert grammar.split_mapping(text) == ("80", "web", options)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """No text whatever is answered with anything but parts or a ValueError."""
        try:
            listen, service, options = grammar.split_mapping(text)
        except ValueError as error:
            assert "must be" in str(error) or "twice" in str(error)
        else:
            assert text.startswith(f"{listen}:{service}")
            assert all(isinstance(value, str) for value in options.values())


@given(st.text())
def test_addresses_of_any_text(text: str) -> None:
    """No text at all brings the readers of addresses down: they take or refuse it."""
    readers: list[Callable[[str], object]] = [
        grammar.listen_address,
        grammar.consul_address,
    ]
    for read in readers:
        try:
            read(text)
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("9300", TCPListen("127.0.0.1", 9300)),
        (":9300", TCPListen("0.0.0.0", 9300)),
        ("0.0.0.0:9300", TCPListen("0.0.0.0", 9300)),
        ("localhost:9300", TCPListen("127.0.0.1", 9300)),
        ("[::1]:9300", TCPListen("::1", 9300)),
        ("unix:/run/lb", UnixListen("/run/lb")),
        ("off", None),
    ],
)
def test_admin(text: str, listen: TCPListen | UnixListen | None) -> None:
    """Where to look at the gateway: a bare port is for this machine only."""
    assert grammar.admin(text) == Admin(listen)
    assert grammar.admin(text).is_needed


@pytest.mark.parametrize(
    "text",
    ["", "on", "9300x", "99999", "lb.example:9300", "unix:run", "systemd:a", "²"],
)
def test_no_admin(text: str) -> None:
    """Any other text is an error."""
    with pytest.raises(ValueError, match=r", or off$|unix:/PATH or off$"):
        grammar.admin(text)


class TestWebPage:
    """The page of Consul."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("https://consul.example.com/ui/", "https://consul.example.com/ui"),
            ("http://[::1]:8500/ui", "http://[::1]:8500/ui"),
            ("off", "off"),
        ],
    )
    def test_page(self, text: str, expected: str) -> None:
        """A URL, without the slash at its end, or that there is none."""
        assert grammar.web_page(text) == expected

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("consul:8500", "must be a URL"),
            ("javascript:alert(1)", "must be a URL"),
            ("ftp://consul/ui", "must be a URL"),
            ("https://", "must be a URL"),
            ("https://consul:x/ui", "must be a URL"),
            ("https://con\nsul/ui", "must be a URL"),
            ("https://me:secret@consul/ui", "without user"),
            ("https://consul/ui?token=secret", "without user"),
            ("https://consul/ui#a", "without user"),
            ("https://consul/u i", "without user"),
        ],
    )
    def test_none(self, text: str, problem: str) -> None:
        """What is no page, or would tell a secret, is refused."""
        with pytest.raises(ValueError, match=problem):
            grammar.web_page(text)
