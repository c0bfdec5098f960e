"""Stores, sources and the strangler's plan by their names and URLs."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from journeymesh.errors import JourneymeshError, NotFound, UsageError
from journeymesh.safe_text import shown_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from journeymesh.journeys.policies import Policy
    from journeymesh.sources.mapping import Mapping
    from journeymesh.sources.mongodb_documents import MongodbDocuments
    from journeymesh.sources.personal_data import DataKind
    from journeymesh.sources.port import Source
    from journeymesh.sources.vehicle_port import DocumentRemover, FixWriter, VehicleSource
    from journeymesh.stores.port import Store
    from journeymesh.strangler.installation import Installation

_NOT_GUARDED: Final = "tombstones are named, and a lake does not apply them"
STORE_SCHEMES: Final = ("memory", "sqlite", "postgresql", "mongodb", "mongodb+srv", "lake")


def open_store(url: str, *, must_exist: bool = False) -> Store:
    """The store at this URL: ``sqlite:///journeys.db``, ``postgresql://host/database``, ``mongodb://…``, ``memory:``,
    ``lake:///folder``. ``must_exist``: no SQLite file is made of a mistyped path.

    Raises:
        NotFound: it must exist, and there is no such file.
        UsageError: the scheme is not one of a store, or it is a lake where settings seal stores or name tombstones.
        StoreUnavailable: the store cannot be reached.
    """
    from journeymesh.settings import load_settings
    from journeymesh.stores.row_store import RowStore
    from journeymesh.wiring.keys import guarded, sealed

    settings = load_settings()
    store = bare_store(url, must_exist=must_exist)
    if isinstance(store, RowStore):
        return guarded(sealed(store, settings), settings)
    if settings.sealed or settings.tombstones is not None:
        store.close()
        what = "stores are to be sealed, and a lake cannot be" if settings.sealed else _NOT_GUARDED
        raise UsageError(what, todo="move its data into SQLite or PostgreSQL")
    return store


def bare_store(url: str, *, must_exist: bool) -> Store:
    """The store at this URL as it stands in the database: neither sealed by keys nor guarded by tombstones.

    Raises:
        NotFound: it must exist, and there is no such file. UsageError: the scheme is not one of a store.
    """
    match urlsplit(url).scheme:
        case "memory":
            from journeymesh.stores.memory import MemoryStore

            return MemoryStore()
        case "sqlite" | "postgresql":
            from journeymesh.stores.sql import SqlStore

            if must_exist:
                _require_file(url)
            return SqlStore.connect(url)
        case "mongodb" | "mongodb+srv":
            from journeymesh.stores.mongodb import MongodbStore

            return MongodbStore.connect(url)
        case "lake":
            from journeymesh.stores.lake import LakeStore

            return LakeStore.connect(url)
        case "":
            raise UsageError(f"store {url!r} is not a URL", todo=f"for a file write sqlite:///{url or 'journeys.db'}")
        case scheme:
            raise UsageError(f"store {scheme}://: unknown kind", todo=f"use one of {', '.join(STORE_SCHEMES)}")


def _require_file(url: str) -> None:
    path = url.partition("?")[0].removeprefix("sqlite:///")
    if url.startswith("sqlite:///") and path not in ("", ":memory:") and not Path(path).exists():
        raise NotFound(f"store {url} does not exist", todo="make it with `journeymesh preprocess`, or correct --store")


def open_source(location: str, mapping_path: str | Path | None = None, data: DataKind | None = None) -> Source:
    """The source at this path or URL, read as the mapping file says.

    Parquet, CSV and NDJSON need no mapping where their columns have the names of ``FIX_SCHEMA``. ``data`` is the kind
    of data; None: what the mapping says, or ``personal``.

    Raises:
        MappingInvalid: the mapping file cannot be used.
        PersonalDataRefused: this environment does not admit data of that kind.
        SourceMissing: nothing is there.
        UsageError: it is no kind of source, or one that needs a mapping.
    """
    from journeymesh.sources.locations import kind_of, mapping_of_documents
    from journeymesh.sources.mapping import load_mapping

    mapping = None if mapping_path is None else load_mapping(Path(mapping_path))
    _require_admitted(location, mapping, data)
    match kind_of(location, mapping):
        case "parquet":
            from journeymesh.sources.columnar import ParquetSource

            return ParquetSource(location, mapping)
        case "files":
            from journeymesh.sources.text import TextSource

            return TextSource(location, mapping)
        case "mongodb":
            from journeymesh.sources.mongodb import MongodbSource

            return MongodbSource(location, mapping_of_documents(location, mapping))
        case "mongodump":
            from journeymesh.sources.mongodump import MongodumpSource

            return MongodumpSource(location, mapping_of_documents(location, mapping))


def open_vehicle_source(location: str, mapping_path: str | Path | None = None) -> VehicleSource:
    """The source at this URL, to be asked by vehicle and followed: a live MongoDB.

    Raises:
        MappingInvalid: the mapping file cannot be used.
        PersonalDataRefused: this environment does not admit data of the mapping's kind.
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached.
        UsageError: it is another kind of source, or no mapping was given.
    """
    from journeymesh.settings import load_settings
    from journeymesh.sources.locations import live_mapping
    from journeymesh.sources.mongodb_vehicles import MongodbVehicles
    from journeymesh.wiring.keys import guarded_source

    mapping = live_mapping(location, mapping_path)
    _require_admitted(location, mapping)
    return guarded_source(MongodbVehicles(location, mapping), load_settings())


def open_remover(location: str, mapping_path: str | Path) -> DocumentRemover:
    """What exports and deletes documents of the legacy source.

    Raises:
        UsageError: documents of this source cannot be removed by vehicle.
    """
    from journeymesh.sources.locations import live_mapping
    from journeymesh.sources.mongodb_remover import MongodbRemover

    return MongodbRemover(location, live_mapping(location, mapping_path))


def open_fix_writer(location: str, mapping_path: str | Path) -> FixWriter:
    """What writes fixes back to the legacy source as documents.

    Raises:
        UsageError: its mapping cannot be inverted.
    """
    from journeymesh.sources.locations import live_mapping
    from journeymesh.sources.mongodb_writer import MongodbFixWriter

    return MongodbFixWriter(location, live_mapping(location, mapping_path))


def open_documents(location: str, mapping_path: str | Path) -> MongodbDocuments:
    """What reads documents of the legacy database by the driver alone.

    Raises:
        MappingInvalid: the mapping file cannot be used, or no query finds a vehicle by it.
        PersonalDataRefused: this environment does not admit data of the mapping's kind.
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached.
        UsageError: it is no URL of a live MongoDB that names a database.
    """
    from journeymesh.sources.locations import live_mapping
    from journeymesh.sources.mongodb_documents import MongodbDocuments

    mapping = live_mapping(location, mapping_path)
    _require_admitted(location, mapping)
    return MongodbDocuments(location, mapping)


def _require_admitted(location: str, mapping: Mapping | None, data: DataKind | None = None) -> None:
    """Refuse a source whose kind of data this environment's label does not admit."""
    from journeymesh.settings import load_settings
    from journeymesh.sources.personal_data import require_admitted

    kind = data or ("personal" if mapping is None else mapping.data)
    mark = "--data" if mapping is None else "the mapping's `data:`"
    require_admitted(kind, load_settings().personal_data, f"source {shown_url(location)}", mark=mark)


def open_installation(
    plan_path: str | Path, *, changed: dict[str, str] | None = None, swapped: dict[str, str] | None = None
) -> Installation:
    """What the plan names, opened when it is first needed. ``changed`` has other phases for some slices,
    ``swapped`` other stores.

    Raises:
        PlanInvalid: the plan file cannot be followed.
    """
    from journeymesh.settings import load_settings, retention_of
    from journeymesh.stores.used_rules import rules_for
    from journeymesh.strangler.control import Control
    from journeymesh.strangler.installation import Installation
    from journeymesh.strangler.plan import load_plan, with_phases, with_swap
    from journeymesh.wiring.keys import tombstones_if_named

    plan = with_phases(load_plan(plan_path), changed or {})
    for name, store in (swapped or {}).items():
        plan = with_swap(plan, name, store)
    legacy = plan.legacy
    return Installation(
        plan=plan,
        rules=rules_for(legacy.rules, legacy.rules, _reachable(store.url for store in plan.stores.values())),
        control=Control(plan.control),
        open_store=open_store,
        open_legacy=lambda: open_vehicle_source(legacy.source, legacy.mapping),
        open_remover=lambda: open_remover(legacy.source, legacy.mapping),
        open_writer=lambda: open_fix_writer(legacy.source, legacy.mapping),
        keep_fixes=retention_of,
        exports=Path(plan_path).parent / "retired",
        tombstones=tombstones_if_named(load_settings()),
    )


def _reachable(urls: Iterable[str]) -> Iterator[Store]:
    """Those stores that can be opened and have been written to."""
    for url in urls:
        with suppress(JourneymeshError), closing(open_store(url)) as store:
            if store.schema_version()[0] is not None:
                yield store


def load_policies(path: str | Path) -> Sequence[Policy]:
    """The policies in a YAML, JSON, CSV or Parquet file.

    Raises:
        PoliciesInvalid: naming the file and the first policy that cannot be used.
    """
    from journeymesh.sources.policies_file import load_policies as load

    return load(path)
