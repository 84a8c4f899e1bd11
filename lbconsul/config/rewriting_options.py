"""The options of a mapping that rewrite requests and responses."""

from lbconsul.config import rewriting_values as parsers
from lbconsul.config import values
from lbconsul.config.option import Option, list_option

REWRITING_OPTIONS = (
    list_option(
        "set-header",
        parsers.header,
        "NAME: VALUE of a header field that instances get in place of the client's;"
        " $client, $host, $request_id, $route, $scheme and $service are replaced; may"
        " be given more than once",
        "rewriting.set_header",
    ),
    list_option(
        "add-header",
        parsers.header,
        "the same beside the client's; may be given more than once",
        "rewriting.add_header",
    ),
    list_option(
        "remove-header",
        parsers.field_name,
        "NAME of a header field that instances do not get; may be given more than once",
        "rewriting.remove_header",
    ),
    list_option(
        "set-response-header",
        parsers.response_header,
        "as set-header, for clients; may be given more than once",
        "rewriting.set_response_header",
    ),
    list_option(
        "add-response-header",
        parsers.response_header,
        "as add-header, for clients; may be given more than once",
        "rewriting.add_response_header",
    ),
    list_option(
        "remove-response-header",
        parsers.response_field_name,
        "as remove-header, for clients; may be given more than once",
        "rewriting.remove_response_header",
    ),
    Option(
        "strip-prefix",
        parsers.prefix,
        "what instances do not get of a path that begins so, such as /api",
        field="rewriting.strip_prefix",
    ),
    Option(
        "add-prefix",
        parsers.prefix,
        "what instances get before each path, such as /v1",
        field="rewriting.add_prefix",
    ),
    list_option(
        "rewrite",
        parsers.rewrite,
        "REGEX REPLACEMENT: what becomes of a path in which the regular expression is"
        " found, such as ^/old/(.*)$ /new/$1; may be given more than once",
        "rewriting.rewrite",
    ),
    Option(
        "redirect",
        parsers.redirect,
        "STATUS,URL to send clients to, with 301, 302, 307 or 308; $host, $path and"
        " $query are replaced: 301,https://www.example.com$path",
        field="rewriting.redirect",
    ),
    Option(
        "redirect-https",
        values.switch,
        "whether to send clients that came with http to https: on or off [off]",
        field="rewriting.redirect_https",
    ),
    Option(
        "hsts",
        parsers.hsts,
        "tell clients that came with https to use nothing else for this time:"
        " TIME;includeSubDomains;preload, or off [off]",
        field="rewriting.hsts",
    ),
    list_option(
        "error-page",
        parsers.error_page,
        "STATUS:/PATH of a file (.html, .json, .txt or .xml, up to 64KiB) in place of"
        " the gateway's own answer; may be given more than once",
        "rewriting.error_page",
        distinct="status",
    ),
)

#: Options whose values are texts in which a comma and a blank may stand.
TEXTS = {option.name for option in REWRITING_OPTIONS if option.is_list} | {"redirect"}
