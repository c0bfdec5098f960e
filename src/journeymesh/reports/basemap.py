"""An optional picture beneath the map: tiles of a server that whoever makes the page names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from journeymesh.errors import UsageError

_TEMPLATE: Final = re.compile(
    r"(?P<origin>https://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?)/[A-Za-z0-9._~/{}?=&%+@:-]*"
)
_LOCAL: Final = re.compile(
    r"(?P<origin>http://(?P<host>localhost|127\.0\.0\.1)(?::\d{1,5})?)/[A-Za-z0-9._~/{}?=&%+@:-]*"
)
_TODO: Final = "write it like https://tiles.example.com/{z}/{x}/{y}.png"
_OSM: Final = "openstreetmap.org"


@dataclass(frozen=True, slots=True)
class Basemap:
    """Tiles in Web Mercator, 256 pixels wide, by a URL with ``{z}``, ``{x}`` and ``{y}``.

    ``origin`` is all that the page may load pictures from; ``credit`` is shown on the map.
    """

    template: str
    origin: str
    host: str
    credit: str

    @classmethod
    def of(cls, template: str, credit: str | None = None) -> Basemap:
        """The basemap of this template.

        Raises:
            UsageError: the template is none that a page can be allowed to load from.
        """
        found = _TEMPLATE.fullmatch(template) or _LOCAL.fullmatch(template)
        if found is None:
            raise UsageError("--basemap is not an https URL of tiles", todo=_TODO)
        places = re.findall(r"\{(\w*)\}", template)
        if sorted(places) != ["x", "y", "z"] or template.count("{") != 3 or template.count("}") != 3:
            raise UsageError("--basemap needs {z}, {x} and {y} once each and nothing else in braces", todo=_TODO)
        host = found["host"]
        if credit is None:
            is_osm = host == _OSM or host.endswith(f".{_OSM}")
            credit = "© OpenStreetMap contributors" if is_osm else f"Map: {host}"
        return cls(template, found["origin"], host, credit)
