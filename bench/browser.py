"""What a browser sends, as wrk is to send it."""

#: Firefox's fields, beside ``Host``.
_FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101"
    " Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Connection": "keep-alive",
    "Cookie": "session=3f0a9c5e7b1d2468; theme=dark",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
}

#: The body of each POST.
POSTED = b"x" * (16 << 10)


def arguments(**others: str) -> tuple[str, ...]:
    """Arguments for wrk, so that it sends these fields, some with another value."""
    fields = {**_FIELDS, **others}
    return tuple(
        each for name, value in fields.items() for each in ("-H", f"{name}: {value}")
    )


#: Each body is sent with the fields that wrk was told otherwise.
POSTING = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", {len(POSTED)})
"""


def _script(counted: str, target: str, **varying: str) -> str:
    """A request that differs each time; what varies is an expression in Lua."""
    fields = {"Host": '"bench.example"'}
    fields |= {name: f'"{value}"' for name, value in _FIELDS.items()}
    fields |= varying
    lines = "".join(
        f'    .. "{name}: " .. {value} .. "\\r\\n"\n' for name, value in fields.items()
    )
    return (
        "local n = 0\n"
        "function request()\n"
        f"  n = {counted}\n"
        f'  return "GET " .. {target} .. " HTTP/1.1\\r\\n"\n'
        f'{lines}    .. "\\r\\n"\n'
        "end\n"
    )


#: No two requests have the same target or the same Cookie.
VARYING = _script(
    "n + 1",
    '"/small?page=" .. n',
    Cookie='string.format("session=%016x; theme=dark", n * 7919)',
)

#: No two clients send the same Cookie, and each only one request.
NEW_CLIENTS = _script(
    "n + 1",
    '"/small"',
    Connection='"close"',
    Cookie='string.format("session=%016x; theme=dark", n * 7919)',
)


def _sticky() -> str:
    fields = {"Host": "bench.example", **_FIELDS}
    values = {name: f'"{value}"' for name, value in fields.items()}
    values["Cookie"] += " .. cookie"
    lines = "".join(
        f'    .. "{name}: " .. {value} .. "\\r\\n"\n' for name, value in values.items()
    )
    return (
        'local cookie = ""\n'
        "local function made()\n"
        '  return "GET /small HTTP/1.1\\r\\n"\n'
        f'{lines}    .. "\\r\\n"\n'
        "end\n"
        "local ready = made()\n"
        "function request() return ready end\n"
        "function response(status, headers, body)\n"
        '  local set = headers["Set-Cookie"] or headers["set-cookie"]\n'
        "  if set then\n"
        '    cookie = "; " .. set:match("^[^;]+")\n'
        "    ready = made()\n"
        "  end\n"
        "end\n"
    )


#: Each request has the cookie that an answer has set, as a browser has.
STICKY = _sticky()


def over_hosts(count: int) -> str:
    """Each request goes to one of so many hosts, drawn evenly."""
    name = '"host-" .. n .. ".example"'
    return _script(f"math.random({count}) - 1", '"/small"', Host=name)


def host(number: int) -> str:
    """The name of one of the hosts that `over_hosts` asks."""
    return f"host-{number}.example"
