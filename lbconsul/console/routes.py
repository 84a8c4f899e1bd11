"""``lbconsul routes``."""

import json
from typing import Any

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.text_table import Layout
from lbconsul.console.terminal import is_terminal, width
from lbconsul.text import printable
from lbconsul.usage.words import Given

#: At least one tag is no route, or a route has no usable instance.
NOT_ALL = 1

_COLUMNS = ("ROUTE", "SHARE", "UP", "SERVICE", "OPTIONS")


def routes(admin: Admin, given: Given) -> int:
    """Print the routes that are tags in Consul; returns the exit status.

    :raises CannotAsk: the gateway does not answer that.
    """
    document = admin.routes()
    try:
        is_well = not document["problems"] and all(
            any(target["usable"] for target in each["targets"])
            for each in document["routes"]
        )
        if "json" in given:
            text = json.dumps(document)
        else:
            columns = width() if is_terminal() else None
            text = "\n".join(printable(each) for each in _lines(document, columns))
    except (LookupError, TypeError, ValueError, AttributeError):
        raise CannotAsk(f"{admin.address}: the answer is not lbconsul's") from None
    print(text, flush=True)
    return 0 if is_well else NOT_ALL


def _lines(document: dict[str, Any], columns: int | None) -> list[str]:
    if not document["mappings"]:
        return ["no mapping has tags as its routes: --map 80:@tags,mode=http has"]
    lines = list[str]()
    for mapping in document["mappings"]:
        name = mapping["name"]
        known = "" if mapping["complete"] else ", not all of them known yet"
        lines.append(f"{name}: {mapping['routes']} routes{known}")
        if mapping["error"]:
            lines.append(f"  Consul does not list services: {mapping['error']}")
        rows = [
            row
            for each in document["routes"]
            if each["mapping"] == name
            for row in _rows(each)
        ]
        if rows:
            layout = Layout({"SHARE", "UP"}, ("OPTIONS", "SHARE"), columns)
            lines += layout.lines(_COLUMNS, rows)
        lines += [
            _problem(each) for each in document["problems"] if each["mapping"] == name
        ]
    return lines


def _rows(route: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each target of a route; only the first names it."""
    name, rows = str(route["route"]), list[tuple[str, ...]]()
    for target in route["targets"]:
        rows.append(
            (
                name,
                f"{100 * target['share']:.4g}%",
                f"{target['usable']}/{target['instances']}",
                str(target["service"]),
                str(target["options"]),
            )
        )
        name = ""
    return rows or [(name, "", "0/0", "-", "")]


def _problem(problem: dict[str, Any]) -> str:
    kind = "~" if problem["is_warning"] else "!"
    where = f" ({problem['instance']})" if problem["instance"] else ""
    return f"  {kind} {problem['service']}{where}: {problem['tag']}: {problem['why']}"
