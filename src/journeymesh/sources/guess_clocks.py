"""How a column of clocks is written, by its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

_EARLIEST_S: Final = datetime(1995, 1, 1, tzinfo=UTC).timestamp()
_LATEST_S: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_FORMATS: Final = (
    "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d-%b-%Y %H:%M:%S.%f", "%d-%b-%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S", "%Y.%m.%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%a %b %d %H:%M:%S %Y",
    "%Y%m%d%H%M%S", "%d%m%y %H%M%S",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClockForm:
    """How clocks are written: the mapping's keys, how many values fit, and their span."""

    keys: dict[str, Any]
    words: str
    count: int
    first: str
    last: str
    is_local: bool
    read: Callable[[Any], float | None]

    def seconds(self, value: Any) -> float | None:
        """Seconds since 1970 of a value; None where it does not fit."""
        return self.read(value)


def clock_form(values: Sequence[Any]) -> ClockForm | None:
    """The form that at least nine in ten of the values have; None where there is none."""
    best: ClockForm | None = None
    for keys, words, read in _forms():
        read_at = [at for value in values if (at := read(value)) is not None]
        fits = [at for at in read_at if _EARLIEST_S <= at <= _LATEST_S]
        if len(fits) * 10 >= len(values) * 9 and fits and (best is None or len(fits) > best.count):
            texts = [value for value in values if isinstance(value, str)]
            naive = [value for value in values if isinstance(value, datetime) and value.tzinfo is None]
            local = bool(naive) or (keys["clock"] in ("iso8601", "strftime") and any(map(_is_naive, texts)))
            best = ClockForm(keys, words, len(fits), _rfc3339(min(fits)), _rfc3339(max(fits)), local, read)
    return best


def _forms() -> list[tuple[dict[str, Any], str, Callable[[Any], float | None]]]:
    forms: list[tuple[dict[str, Any], str, Callable[[Any], float | None]]] = [
        ({"clock": "bson_date"}, "a date", _date),
        ({"clock": "epoch_s"}, "seconds since 1970", lambda value: _count(value, 1.0)),
        ({"clock": "epoch_ms"}, "milliseconds since 1970", lambda value: _count(value, 1e-3)),
        ({"clock": "iso8601"}, "ISO 8601", _iso),
    ]
    for text in _FORMATS:
        forms.append(({"clock": "strftime", "format": text}, "by its look", _formatted(text)))
    return forms


def _date(value: Any) -> float | None:
    if not isinstance(value, datetime):
        return None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _count(value: Any, unit_s: float) -> float | None:
    if isinstance(value, bool | datetime):
        return None
    try:
        return float(value) * unit_s
    except (TypeError, ValueError):
        return None


def _iso(value: Any) -> float | None:
    if not isinstance(value, str) or len(value) < 10 or "-" not in value[:8]:
        return None
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _formatted(text: str) -> Callable[[Any], float | None]:
    def read(value: Any) -> float | None:
        if not isinstance(value, str):
            return None
        try:
            return datetime.strptime(value.strip(), text).replace(tzinfo=UTC).timestamp()
        except ValueError:
            return None

    return read


def _is_naive(text: str) -> bool:
    try:
        return datetime.fromisoformat(text.strip()).tzinfo is None
    except ValueError:
        return True


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
