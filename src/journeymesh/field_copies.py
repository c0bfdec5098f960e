"""A value of one type made of another's, where both have fields of the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def copy_fields(kind: Callable[..., T], source: object, **others: Any) -> T:
    """A ``kind``, a struct or a dataclass, with ``others`` and, for its other fields, what the source has under the
    same names.

    Only what ``kind`` declares is copied: a field that the source gains goes nowhere by itself.

    Raises:
        AttributeError: the source lacks a field that is not among ``others``.
    """
    names = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__")  # noqa: B009 - untyped
    return kind(**{name: getattr(source, name) for name in names if name not in others}, **others)
