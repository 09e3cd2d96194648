"""Values that are computed once for two objects and forgotten with either."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

Value = TypeVar("Value")


class ObjectCache(Generic[Value]):
    """Values of pairs of objects, which are told apart by identity and held weakly.

    A value must not refer to the objects, or they live as long as it does.

    Parameters
    ----------
    most
        First objects whose values are kept at a time, those that were asked for last; None for all that live.

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

    def get(self, one: object, other: object, make: Callable[[], Value], key: Hashable = None) -> Value:
        """The value of two objects, and of a ``key`` where they have several; made where there is none yet."""
        of_one = self._values.pop(one, None) or WeakKeyDictionary()
        values = of_one.setdefault(other, {})
        if key not in values:
            values[key] = make()
        self._values[one] = of_one  # the last one
        while self._most is not None and len(self._values) > self._most:
            self._values.pop(next(self._values.keys()), None)
        return values[key]
