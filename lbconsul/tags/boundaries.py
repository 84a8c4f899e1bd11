"""Tells of routes that meet within a segment, such as ``/foo`` and ``/foobar``.  Pure.

A route takes every path that begins with its own, as in fabio: ``/foo`` takes
``/foobaz`` too.  Beside a route ``/foobar`` that is seldom meant.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from attrs import Factory, define

from lbconsul.tags.tag import RouteKey

#: So many routes are named.
_NAMED = 2

#: The character behind the slash.
_BEHIND_SLASH = "0"

#: Behind every character of a path.
_END = "\U0010ffff"


@define(eq=False)
class Boundaries:
    """The paths of routes, by host."""

    _paths: dict[str, list[str]] = Factory(dict)
    #: How many routes have a path: bounded ones, and others.
    _counts: dict[tuple[str, str], int] = Factory(dict)

    def add(self, key: RouteKey) -> None:
        """There is a route."""
        place = key.host, key.path
        self._counts[place] = self._counts.get(place, 0) + 1
        if self._counts[place] == 1:
            insort(self._paths.setdefault(key.host, []), key.path)

    def drop(self, key: RouteKey) -> None:
        """There is a route no more."""
        place = key.host, key.path
        self._counts[place] -= 1
        if self._counts[place]:
            return
        del self._counts[place]
        paths = self._paths[key.host]
        del paths[bisect_left(paths, key.path)]
        if not paths:
            del self._paths[key.host]

    def concerned(self, key: RouteKey) -> Iterator[RouteKey]:
        """The routes that may meet others, or no more, with the coming or going of one.

        They need not exist.
        """
        host, path = key.host, key.path
        yield RouteKey(host, path)
        for end in range(2, len(path)):
            if (host, path[:end]) in self._counts:
                yield RouteKey(host, path[:end])

    def meeting(self, key: RouteKey) -> list[str]:
        """The first paths that begin with that of a route, within a segment."""
        path, paths = key.path, self._paths.get(key.host, [])
        if key.is_bounded or path.endswith("/"):
            return []
        found = list[str]()
        for first, last in ((path, f"{path}/"), (path + _BEHIND_SLASH, path + _END)):
            begin, end = bisect_left(paths, first), bisect_left(paths, last)
            found += paths[begin : min(end, begin + _NAMED + 1)]
        return [each for each in found if each != path][:_NAMED]
