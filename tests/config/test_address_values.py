"""Single values that are addresses: hosts, ports, socket paths, networks."""

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config import address_values


class TestPort:
    """Numbers of ports."""

    def test_port(self) -> None:
        """Every port that one can connect to is allowed."""
        assert [address_values.port("1"), address_values.port("65535")] == [1, 65535]

    @pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "", "000080"])
    def test_no_port(self, text: str) -> None:
        """The error about a port out of range names the range."""
        with pytest.raises(ValueError, match=f"port '{text}' must be .* 1 to 65535"):
            address_values.port(text)


class TestServerName:
    """The name to verify in a certificate."""

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("consul", "consul"),
            ("server.dc1.consul", "server.dc1.consul"),
            ("consul:8501", "consul"),
            ("10.0.0.1:8501", "10.0.0.1"),
            ("[::1]:8501", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
        ],
    )
    def test_forms(self, text: str, name: str) -> None:
        """A name or an address, without the port that may stand behind it."""
        assert address_values.server_name(text) == name

    @pytest.mark.parametrize(
        "text",
        ["", ":8501", "a b", "https://consul", "a_b", "consul:http", "[::1", "é" * 70],
    )
    def test_mistakes(self, text: str) -> None:
        """A name that no certificate can have is refused."""
        with pytest.raises(ValueError, match=r"^must be a host name or an IP address$"):
            address_values.server_name(text)


class TestNetworks:
    """Networks that may connect, and networks that may not."""

    @pytest.mark.parametrize(
        ("text", "networks"),
        [
            ("10.0.0.0/8", ("10.0.0.0/8",)),
            ("192.0.2.1", ("192.0.2.1/32",)),
            ("::1", ("::1/128",)),
            ("10.0.0.0/8,2001:DB8::/32", ("10.0.0.0/8", "2001:db8::/32")),
            ("10.0.0.0/255.0.0.0", ("10.0.0.0/8",)),
            ("0.0.0.0/0,::/0", ("0.0.0.0/0", "::/0")),
        ],
    )
    def test_forms(self, text: str, networks: tuple[str, ...]) -> None:
        """Networks and single addresses of both families, after commas."""
        assert address_values.networks(text) == networks

    @pytest.mark.parametrize(
        ("text", "wrong"),
        [
            ("", ""),
            ("10.0.0.0/8,", ""),
            ("10.0.0.1/8", "10.0.0.1/8"),
            ("10.0.0.0/8,10.0.0.0/33", "10.0.0.0/33"),
            ("10.0.0.0/8, ::1", " ::1"),
            ("10.0.0", "10.0.0"),
            ("localhost", "localhost"),
            ("5", "5"),
            ("[::1]", "[::1]"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("any", "any"),
        ],
    )
    def test_no_networks(self, text: str, wrong: str) -> None:
        """The error names the wrong network, and what would be right."""
        with pytest.raises(
            ValueError,
            match=f"^{re.escape(repr(wrong))} must be a network, such as 10.0.0.0/8",
        ):
            address_values.networks(text)

    @given(
        st.lists(
            st.tuples(st.ip_addresses(), st.integers(0, 32)), min_size=1, max_size=5
        )
    )
    def test_round_trip(self, drawn: list[tuple[object, int]]) -> None:
        """Networks are shown as they were written, and match the same clients."""
        written = [str(ip_network(f"{it}/{size}", False)) for it, size in drawn]
        read = address_values.networks(",".join(written))
        assert list(read) == written
        assert address_values.networks(",".join(read)) == read
        for network, (address, _) in zip(read, drawn, strict=True):
            assert ip_address(str(address)) in ip_network(network)


class TestUpstreamNetworks:
    """Where instances may be."""

    def test_forms(self) -> None:
        """Networks, and UNIX sockets by their path or that of a directory."""
        found = address_values.upstream_networks(
            "10.0.0.0/8,unix:/run/web/,::1,unix:/a/../b"
        )
        assert found == ("10.0.0.0/8", "unix:/run/web", "::1/128", "unix:/b")

    @pytest.mark.parametrize("text", ["", "10.0.0.1/8", "unix:", "unix:run", "/run"])
    def test_mistakes(self, text: str) -> None:
        """Anything else is refused."""
        with pytest.raises(ValueError, match=r"must be a (network|path)"):
            address_values.upstream_networks(text)


class TestSocketPath:
    """The path of a UNIX socket."""

    @pytest.mark.parametrize("text", ["/run/lbconsul.sock", "/a b", "/ü"])
    def test_paths(self, text: str) -> None:
        """A path from the root is taken as it is."""
        assert address_values.socket_path(text) == text

    @pytest.mark.parametrize("text", ["", "lb.sock", "./lb.sock", "/a\nb", "/a\0"])
    def test_no_paths(self, text: str) -> None:
        """A relative one would be somewhere else for the next gateway."""
        with pytest.raises(
            ValueError, match=r"^must be a path that begins with / and is printable$"
        ):
            address_values.socket_path(text)
