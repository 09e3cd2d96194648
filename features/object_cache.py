"""Values that are computed once for two objects and forgotten with either."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

Value = TypeVar("Value")


class ObjectCache(Generic[Value]):
    """Values of pairs of objects, which are compared by identity and held weakly.

    A value must not refer to the objects, or they live as long as it does.

    Parameters
    ----------
    most
        Number of first objects whose values are kept, the most recently used ones; None for all that are alive.

    Examples
    --------
    >>> class Face: pass
    >>> clip, face, lengths = Face(), Face(), ObjectCache(most=2)
    >>> lengths.get(face, clip, lambda: 3), lengths.get(face, clip, lambda: 4)
    (3, 3)
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._values: WeakKeyDictionary[Any, WeakKeyDictionary[Any, dict[Hashable, Value]]] = WeakKeyDictionary()

    def __len__(self) -> int:
        """First objects whose values are kept."""
        return len(self._values)

    def get(self, first: object, second: object, make: Callable[[], Value], key: Hashable = None) -> Value:
        """Return the value of two objects, and of a ``key`` if they have several; make it if there is none yet."""
        of_first = self._values.pop(first, None) or WeakKeyDictionary()
        values = of_first.setdefault(second, {})
        if key not in values:
            values[key] = make()
        self._values[first] = of_first  # the most recent
        while self._most is not None and len(self._values) > self._most:
            self._values.pop(next(self._values.keys()), None)
        return values[key]
