"""Which gateway is asked, and with which token."""

from pathlib import Path

import pytest

from lbconsul.admin.client import Admin
from lbconsul.console.access import access
from lbconsul.errors import ConfigError
from lbconsul.usage.words import Given

FORM = "must be [HOST:]PORT, https://[HOST:]PORT or unix:/PATH"


def _access(environ: dict[str, str], **options: str) -> Admin:
    given = {name.replace("_", "-"): [text] for name, text in options.items()}
    return access(
        Given(given, ()), {f"LBCONSUL_{name}": text for name, text in environ.items()}
    )


def test_default() -> None:
    """Without a word it is the gateway of this machine; no token is sent."""
    assert _access({}) == _access({"ADMIN": "", "ADMIN_TOKEN": ""})
    assert _access({}) == Admin("127.0.0.1:9200")


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("9300", "9300"),
        ("lb1:9200", "lb1:9200"),
        ("unix:/run/lb.sock", "unix:/run/lb.sock"),
        ("0.0.0.0:9200", "127.0.0.1:9200"),
        ("[::]:9200", "[::1]:9200"),
        ("http://lb1:9200/", "lb1:9200"),
        ("https://0.0.0.0:9200", "https://127.0.0.1:9200"),
        ("https://9200", "https://9200"),
    ],
)
def test_address(said: str, asked: str) -> None:
    """The gateway's own environment says where it can be asked; the line wins."""
    assert _access({"ADMIN": said}).address == asked
    assert _access({"ADMIN": "1"}, admin=said).address == asked


def test_token(tmp_path: Path) -> None:
    """The token comes from a file, or from the environment; the line wins."""
    file = tmp_path / "token"
    file.write_text("of the file\n")
    assert _access({}, admin_token_file=str(file)).token == "of the file"
    assert _access({"ADMIN_TOKEN_FILE": str(file)}).token == "of the file"
    assert _access({"ADMIN_TOKEN": "s3cret"}).token == "s3cret"
    both = _access({"ADMIN_TOKEN": "s3cret"}, admin_token_file=str(file))
    assert both.token == "of the file"


def test_token_that_only_reads(tmp_path: Path) -> None:
    """Without the token that changes, the environment's one that reads is sent."""
    file = tmp_path / "token"
    file.write_text("reads\n")
    assert _access({"ADMIN_READ_TOKEN_FILE": str(file)}).token == "reads"
    assert _access({"ADMIN_READ_TOKEN": "reads"}).token == "reads"
    assert _access({"ADMIN_READ_TOKEN": "r", "ADMIN_TOKEN": "c"}).token == "c"


@pytest.mark.parametrize(
    ("environ", "options", "error"),
    [
        ({"ADMIN": "x"}, {}, f"LBCONSUL_ADMIN x: {FORM}"),
        ({}, {"admin": "h:x"}, f"--admin h:x: {FORM}"),
        ({}, {"admin": "unix:"}, f"--admin unix:: {FORM}"),
        ({"ADMIN": "off"}, {}, "LBCONSUL_ADMIN off: the gateway has no address to ask"),
        (
            {"ADMIN_TOKEN": "a", "ADMIN_TOKEN_FILE": "/a"},
            {},
            "LBCONSUL_ADMIN_TOKEN_FILE: give a token or a token file, not both",
        ),
        (
            {},
            {"admin_token_file": "/nowhere"},
            "--admin-token-file /nowhere: cannot be read: No such file or directory",
        ),
        ({"ADMIN_TOKEN": "a\nb"}, {}, "LBCONSUL_ADMIN_TOKEN: holds more than one line"),
    ],
)
def test_mistakes(environ: dict[str, str], options: dict[str, str], error: str) -> None:
    """An error names the option or the variable, and no token."""
    with pytest.raises(ConfigError) as raised:
        _access(environ, **options)
    assert str(raised.value).startswith(error)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b" \n", "holds no token"), (b"\xff", "is not UTF-8 text"), (b"a\nb", "than one")],
)
def test_odd_files(tmp_path: Path, content: bytes, error: str) -> None:
    """A file that holds no token is an error."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=error):
        _access({}, admin_token_file=str(file))
