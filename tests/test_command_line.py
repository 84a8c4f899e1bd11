"""The command line: every form that it takes."""

from pathlib import Path

import pytest

import lbconsul
from lbconsul.command_line import CommandLine
from lbconsul.config.model import Config

TOKEN = "s3cr3t-t0ken"

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("without_environment")


def _config(*words: str) -> Config:
    options = CommandLine()
    options.parseOptions(list(words))
    return options.config


def _consul(config: Config) -> list[str]:
    return [str(address) for address in config.consul.addresses]


def _mappings(config: Config) -> list[str]:
    return [str(mapping) for mapping in config.mappings]


class TestForms:
    """The ways to say what is to be balanced."""

    def test_options(self) -> None:
        """--consul and --map say all that there is to say."""
        config = _config("--consul", "myconsul:8500", "--map", "80:web", "--map=81:gr")
        assert _consul(config) == ["http://myconsul:8500"]
        assert _mappings(config) == ["80:web", "81:gr"]

    def test_the_seeds_form(self) -> None:
        """The command line of the seed works unchanged."""
        config = _config("myconsul:8500", "80:webserver", "81:graphite")
        assert _consul(config) == ["http://myconsul:8500"]
        assert _mappings(config) == ["80:webserver", "81:graphite"]

    def test_the_seeds_form_without_consul(self) -> None:
        """Without an address Consul is where its own tools look for it."""
        config = _config("80:webserver", "[::]:81:graphite")
        assert _consul(config) == ["http://127.0.0.1:8500"]
        assert _mappings(config) == ["80:webserver", "[::]:81:graphite"]

    def test_a_mixture(self) -> None:
        """Both forms may be mixed; what --consul says need not be said again."""
        config = _config("--map", "80:a", "--consul", "c:1", "81:b", "82:c,tag=v2")
        assert _consul(config) == ["http://c:1"]
        assert _mappings(config) == ["80:a", "81:b", "82:c"]
        assert config.mappings[2].tag == "v2"

    def test_several_consuls(self) -> None:
        """Several addresses of Consul are kept in their order."""
        config = _config("--consul", "a", "--consul", "https://b", "80:web")
        assert _consul(config) == ["http://a:8500", "https://b:8501"]

    def test_defaults_of_all_mappings(self) -> None:
        """An option of a mapping among the options is the default of all."""
        config = _config("--idle-timeout", "10m", "80:a", "81:b,idle-timeout=5s")
        assert [each.timeouts.idle for each in config.mappings] == [600.0, 5.0]

    def test_values_that_look_like_options(self) -> None:
        """Only what stands where an option does is taken for one."""
        for words in (("--tag", "--worker"), ("--tag=--worker",)):
            config = _config(*words, "--", "80:web")
            assert config.mappings[0].tag == "--worker"

    def test_dev(self) -> None:
        """--dev brings the catalog along."""
        assert _config("--dev", "--map", "8080:web").dev is True
        assert _config("--map", "8080:web").dev is False

    def test_a_file(self, tmp_path: Path) -> None:
        """A TOML file can say the same things, in UTF-8."""
        file = tmp_path / "lb.toml"
        file.write_text("consul = 'c'\nmap = ['80:Straße']\nattempts = 5", "utf-8")
        config = _config("--config", str(file))
        assert _consul(config) == ["http://c:8500"]
        assert _mappings(config) == ["80:Straße"]
        assert config.mappings[0].attempts == 5

    def test_precedence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command line wins over the file, that over the environment."""
        monkeypatch.setenv("CONSUL_HTTP_ADDR", "env:1")
        monkeypatch.setenv("CONSUL_NAMESPACE", "env")
        monkeypatch.setenv("CONSUL_CACERT", "/env.pem")
        file = tmp_path / "lb.toml"
        file.write_text(
            "consul = 'file'\nnamespace = 'file'\npolicy = 'p2c'\ntag = 'f'"
        )
        assert _consul(_config("80:web")) == ["http://env:1"]
        config = _config("-f", str(file), "--tag", "line", "80:web")
        assert _consul(config) == ["http://file:8500"]
        consul, mapping = config.consul, config.mappings[0]
        assert (consul.ca_file, consul.namespace) == ("/env.pem", "file")
        assert (mapping.policy, mapping.tag) == ("p2c", "line")
        assert _consul(_config("-f", str(file), "line", "80:web")) == [
            "http://line:8500"
        ]

    def test_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables give what a container has no command line for."""
        file = tmp_path / "lb.toml"
        file.write_text("tag = 'file'\npolicy = 'p2c'")
        monkeypatch.setenv("LBCONSUL_CONFIG", str(file))
        monkeypatch.setenv("LBCONSUL_TAG", "variable")
        monkeypatch.setenv("LBCONSUL_MAP", "8080:web")
        monkeypatch.setenv("LBCONSUL_DEV", "on")
        config = _config()
        [mapping] = config.mappings
        assert (mapping.tag, mapping.policy, config.dev) == ("variable", "p2c", True)
        assert _config("--tag=line").mappings[0].tag == "line"
        other = tmp_path / "other.toml"
        other.write_text("policy = 'random'")
        assert _config("--config", str(other)).mappings[0].policy == "random"

    def test_a_missing_file_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, capsys: Capture
    ) -> None:
        """The error names the variable that names the file."""
        monkeypatch.setenv("LBCONSUL_CONFIG", "/nowhere.toml")
        with pytest.raises(SystemExit) as exited:
            _config("80:web")
        assert exited.value.code == 1
        assert capsys.readouterr().err == (
            "lbconsul: LBCONSUL_CONFIG /nowhere.toml: cannot be read: No such file or"
            " directory\n"
        )

    def test_the_token_is_hidden(self) -> None:
        """A configuration that ends up in a log does not give the token away."""
        config = _config("--token", TOKEN, "80:web")
        assert config.consul.token == TOKEN
        assert TOKEN not in repr(config)


class TestAnswers:
    """What is said and done at once."""

    def test_help(self, capsys: Capture) -> None:
        """--help tells every option, and what holds if nothing is said."""
        with pytest.raises(SystemExit) as exited:
            _config("--help")
        text = " ".join(capsys.readouterr().out.split())
        assert not exited.value.code
        for said in (
            "--consul ADDRESS",
            "--map MAPPING",
            "--idle-timeout TIME",
            "How to reach Consul:",
            "[leastconn]",
            "[50%]",
            "[close]",
            "[off]",
            "--check",
        ):
            assert said in text

    def test_version(self, capsys: Capture) -> None:
        """--version prints the version of the program that runs."""
        with pytest.raises(SystemExit) as exited:
            _config("--version")
        assert exited.value.code == 0
        assert capsys.readouterr().out == f"lbconsul {lbconsul.__version__}\n"


class TestLists:
    """Options that may be given more than once."""

    def test_of_the_gateway(self) -> None:
        """As defaults of all mappings they are repeated as well."""
        config = _config(
            "--mode=http", "--set-header", "X-A: 1", "--set-header=X-B: 2", "80:web"
        )
        [mapping] = config.mappings
        headers = [str(each) for each in mapping.rewriting.set_header]
        assert headers == ["X-A: 1", "X-B: 2"]

    def test_of_a_mapping(self) -> None:
        """What a mapping has itself replaces them."""
        config = _config(
            "--mode=http",
            "--remove-header=X-A",
            "80:web,remove-header=X-B,remove-header=X-C",
        )
        assert config.mappings[0].rewriting.remove_header == ("X-B", "X-C")
