"""The calls of both APIs as methods: each is written once, waits in ``Journeymesh`` and is awaited in
``AsyncJourneymesh``.

What is decorated makes a call, without input or output; the client that has the method carries the call out, by its own
way of the decorator's name (``_answer``, ``_rows``, ``_items``, ``_export``).
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, overload

from journeymesh.client.answers import AsyncPages, Pages, Rows
from journeymesh.client.calls import Call, Export, Listing, Page
from journeymesh.client.rows import Row

P = ParamSpec("P")
T = TypeVar("T")


class Waiting:
    """A client whose calls wait for their answers."""


class Awaited:
    """A client whose calls are awaited."""


class Method(Generic[P]):
    """A method of both clients. ``gives``: the annotation of what makes the call, as a pattern, and what the method of
    a waiting and of an awaited client returns."""

    carried_by: ClassVar[str]
    gives: ClassVar[tuple[str, str, str]]

    def __init__(self, make: Callable[Concatenate[Any, P], Any]) -> None:
        self._make = make

    def of(self, client: type) -> Callable[..., Any]:
        """The method of this class of clients: with the name, parameters and docstring of what makes the call."""
        make, carry = self._make, getattr(client, self.carried_by)
        pattern, waiting, awaited = self.gives

        def method(self: Any, /, *args: P.args, **named: P.kwargs) -> Any:
            return carry(self, make(self, *args, **named))

        functools.update_wrapper(method, make)
        signature = inspect.signature(make)
        returns = re.sub(pattern, waiting if issubclass(client, Waiting) else awaited, signature.return_annotation)
        method.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]
        return method


class answer(Method[P], Generic[P, T]):
    """A call with one answer."""

    carried_by = "_answer"
    gives = r"Call\[(.+)\]", r"\1", r"Coroutine[Any, Any, \1]"
    if TYPE_CHECKING:

        def __init__(self, make: Callable[Concatenate[Any, P], Call[T]]) -> None: ...
        @overload
        def __get__(self, client: Waiting, owner: Any) -> Callable[P, T]: ...
        @overload
        def __get__(self, client: Awaited, owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
        def __get__(self, client: Any, owner: Any) -> Any: ...


class rows(Method[P], Generic[P, Row]):
    """A listing of rows, whose pages are asked for as they are read."""

    carried_by = "_rows"
    gives = r"Listing\[Rows\[(.+)\]\]", r"Pages[\1]", r"AsyncPages[\1]"
    if TYPE_CHECKING:

        def __init__(self, make: Callable[Concatenate[Any, P], Listing[Rows[Row]]]) -> None: ...
        @overload
        def __get__(self, client: Waiting, owner: Any) -> Callable[P, Pages[Row]]: ...
        @overload
        def __get__(self, client: Awaited, owner: Any) -> Callable[P, AsyncPages[Row]]: ...
        def __get__(self, client: Any, owner: Any) -> Any: ...


class items(Method[P], Generic[P, T]):
    """A listing of what is no row, whose pages are asked for as they are read."""

    carried_by = "_items"
    gives = r"Listing\[Page\[(.+)\]\]", r"Iterator[\1]", r"AsyncIterator[\1]"
    if TYPE_CHECKING:

        def __init__(self, make: Callable[Concatenate[Any, P], Listing[Page[T]]]) -> None: ...
        @overload
        def __get__(self, client: Waiting, owner: Any) -> Callable[P, Iterator[T]]: ...
        @overload
        def __get__(self, client: Awaited, owner: Any) -> Callable[P, AsyncIterator[T]]: ...
        def __get__(self, client: Any, owner: Any) -> Any: ...


class export(Method[P]):
    """A file, whose bytes are returned."""

    carried_by = "_export"
    gives = "Export", "int", "Coroutine[Any, Any, int]"
    if TYPE_CHECKING:

        def __init__(self, make: Callable[Concatenate[Any, P], Export]) -> None: ...
        @overload
        def __get__(self, client: Waiting, owner: Any) -> Callable[P, int]: ...
        @overload
        def __get__(self, client: Awaited, owner: Any) -> Callable[P, Coroutine[Any, Any, int]]: ...
        def __get__(self, client: Any, owner: Any) -> Any: ...
