"""A property computed once, by whichever thread asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

__all__ = ["Once"]

T = TypeVar("T")


class Once(Generic[T]):
    """A property that the first thread to ask computes, while the others wait for it.

    `functools.cached_property` has one lock for all instances in Python 3.11, so that one
    scan would wait for another, and none from 3.12 on.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        kept = instance.__dict__
        with kept.setdefault(f"_{self._name}_lock", threading.Lock()):
            if self._name not in kept:
                kept[self._name] = self._compute(instance)  # found before this property from now on
        return kept[self._name]
