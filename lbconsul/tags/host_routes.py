"""The routes of one pattern of hosts, by their paths.  Pure."""

import re
from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import Factory, define

from lbconsul.tags import glob
from lbconsul.tags.tag import RouteKey

Value = TypeVar("Value")

_SLASH = ord("/")


def as_it_is(path: bytes) -> bytes:
    return path


@define(eq=False)
class HostRoutes(Generic[Value]):
    """The routes of one pattern of hosts."""

    pattern: str
    #: Whether paths are patterns, and what makes them alike.
    _is_glob: bool
    _fold: Callable[[bytes], bytes]
    #: Routes by what their paths begin with, in the order in which they are tried.
    _prefixes: dict[bytes, list[tuple[RouteKey, Value]]] = Factory(dict)
    #: How many of them have a path of a length, and the lengths from the greatest.
    _counts: dict[int, int] = Factory(dict)
    _lengths: tuple[int, ...] = ()
    #: Routes with patterns as their paths, in the order in which they are tried.
    _globs: list[tuple[RouteKey, re.Pattern[str], Value]] = Factory(list)

    @property
    def is_empty(self) -> bool:
        """Whether it has no route."""
        return not self._prefixes and not self._globs

    @property
    def routes(self) -> list[tuple[RouteKey, Value]]:
        """All routes in the order in which they are tried."""
        found = [one for several in self._prefixes.values() for one in several]
        found += [(key, value) for key, _, value in self._globs]
        return sorted(found, key=lambda each: _path_order(each[0]), reverse=True)

    def put(self, key: RouteKey, value: Value) -> None:
        """Have a route, which it has not."""
        if self._is_glob and glob.is_glob(key.path):
            self._globs.append((key, glob.compiled(key.path), value))
            self._globs.sort(key=lambda each: _path_order(each[0]), reverse=True)
            return
        path = self._fold(key.path.encode())
        same = self._prefixes.setdefault(path, [])
        same.append((key, value))
        same.sort(key=lambda each: _path_order(each[0]), reverse=True)
        self._count(len(path), 1)

    def drop(self, key: RouteKey) -> None:
        """Have a route no more."""
        self._globs = [each for each in self._globs if each[0] != key]
        path = self._fold(key.path.encode())
        same = self._prefixes.get(path, [])
        others = [each for each in same if each[0] != key]
        if len(others) == len(same):
            return
        self._count(len(path), -1)
        if others:
            self._prefixes[path] = others
        else:
            del self._prefixes[path]

    def _count(self, length: int, more: int) -> None:
        count = self._counts.get(length, 0) + more
        if count == more:
            self._counts[length] = count
            self._lengths = tuple(sorted(self._counts, reverse=True))
        elif count:
            self._counts[length] = count
        else:
            del self._counts[length]
            self._lengths = tuple(sorted(self._counts, reverse=True))

    def find(self, path: bytes) -> tuple[RouteKey, Value] | None:
        """The first route that takes a path."""
        if self._is_glob:
            return self._find_glob(path)
        wanted, prefixes, most = self._fold(path), self._prefixes, len(path)
        found = None
        for length in self._lengths:
            if length > most:
                continue
            for each in prefixes.get(wanted[:length], ()):
                key = each[0]
                if key.is_bounded and not _ends(wanted, length):
                    continue
                if self._fold is as_it_is:
                    return each
                if found is None or _path_order(key) > _path_order(found[0]):
                    found = each
        return found

    def _find_glob(self, path: bytes) -> tuple[RouteKey, Value] | None:
        literal = self._prefixes.get(path, [None])[0]
        text = path.decode("utf-8", "replace")
        for key, pattern, value in self._globs:
            if literal is not None and _path_order(literal[0]) > _path_order(key):
                break
            if pattern.fullmatch(text):
                return key, value
        return literal

    def mismatch(self, key: RouteKey, path: bytes) -> str:
        """What about a path does not match; empty if it does."""
        alone: HostRoutes[None] = HostRoutes(self.pattern, self._is_glob, self._fold)
        alone.put(key, None)
        if alone.find(path) is not None:
            return ""
        if self._is_glob:
            return f"the path is not {key.path}"
        if key.is_bounded:
            return f"the path is not {key.path} or below it"
        return f"the path does not begin with {key.path}"


def _path_order(key: RouteKey) -> tuple[bytes, bool]:
    return key.path.encode(), key.is_bounded


def _ends(path: bytes, length: int) -> bool:
    """Whether a segment of the path ends after this length."""
    return length == len(path) or _SLASH in (path[length - 1], path[length])
