"""Stores, sources, rules and the strangler's plan by their names and URLs."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from journeymesh.errors import JourneymeshError, MappingInvalid, RulesInvalid, SourceMissing, UsageError
from journeymesh.safe_text import shown_url
from journeymesh.yaml_files import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from journeymesh.journeys.policies import Policy
    from journeymesh.journeys.rules import JourneyRules
    from journeymesh.sources.mapping import Mapping
    from journeymesh.sources.mongodb_documents import MongodbDocuments
    from journeymesh.sources.port import Source
    from journeymesh.sources.vehicle_port import DocumentRemover, FixWriter, VehicleSource
    from journeymesh.stores.port import Store
    from journeymesh.strangler.installation import Installation

STORE_SCHEMES: Final = ("memory", "sqlite", "postgresql", "mongodb", "mongodb+srv", "lake")
SOURCE_KINDS: Final = "a mongodump (folder, .bson, .archive), .parquet, .csv, .ndjson or a mongodb:// URL"
_PARQUET_ENDINGS: Final = (".parquet", ".pq")
_BSON_ENDINGS: Final = (".bson", ".bson.gz", ".archive", ".archive.gz")


def open_store(url: str) -> Store:
    """The store at this URL: ``sqlite:///journeys.db``, ``postgresql://host/database``, ``mongodb://…``, ``memory:``,
    ``lake:///folder``.

    Raises:
        UsageError: the scheme is not one of a store.
        StoreUnavailable: the store cannot be reached.
    """
    match urlsplit(url).scheme:
        case "memory":
            from journeymesh.stores.memory import MemoryStore

            return MemoryStore()
        case "sqlite" | "postgresql":
            from journeymesh.stores.sql import SqlStore

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


def open_source(location: str, mapping_path: str | Path | None = None) -> Source:
    """The source at this path or URL, read as the mapping file says.

    Parquet, CSV and NDJSON need no mapping where their columns have the names of ``FIX_SCHEMA``.

    Raises:
        MappingInvalid: the mapping file cannot be used.
        SourceMissing: nothing is there.
        UsageError: it is no kind of source, or one that needs a mapping.
    """
    from journeymesh.sources.mapping import load_mapping

    mapping = None if mapping_path is None else load_mapping(Path(mapping_path))
    match _kind_of(location, mapping):
        case "parquet":
            from journeymesh.sources.columnar import ParquetSource

            return ParquetSource(location, mapping)
        case "files":
            from journeymesh.sources.text import TextSource

            return TextSource(location, mapping)
        case kind:
            if mapping is None:
                raise UsageError(
                    f"source {shown_url(location)} needs a mapping",
                    todo="give --mapping FILE; `journeymesh mapping schema` says what it holds",
                )
            _check_for_documents(mapping)
            if kind == "mongodb":
                from journeymesh.sources.mongodb import MongodbSource

                return MongodbSource(location, mapping)
            from journeymesh.sources.mongodump import MongodumpSource

            return MongodumpSource(location, mapping)


def open_vehicle_source(location: str, mapping_path: str | Path | None = None) -> VehicleSource:
    """The source at this URL, to be asked by vehicle and followed: a live MongoDB.

    Raises:
        MappingInvalid: the mapping file cannot be used.
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached.
        UsageError: it is another kind of source, or no mapping was given.
    """
    from journeymesh.sources.mongodb_vehicles import MongodbVehicles

    return MongodbVehicles(*_live(location, mapping_path))


def open_remover(location: str, mapping_path: str | Path) -> DocumentRemover:
    """What exports and deletes documents of the legacy source.

    Raises:
        UsageError: documents of this source cannot be removed by vehicle.
    """
    from journeymesh.sources.mongodb_remover import MongodbRemover

    return MongodbRemover(*_live(location, mapping_path))


def open_fix_writer(location: str, mapping_path: str | Path) -> FixWriter:
    """What writes fixes back to the legacy source as documents.

    Raises:
        UsageError: its mapping cannot be inverted.
    """
    from journeymesh.sources.mongodb_writer import MongodbFixWriter

    return MongodbFixWriter(*_live(location, mapping_path))


def open_documents(location: str, mapping_path: str | Path) -> MongodbDocuments:
    """What reads documents of the legacy database by the driver alone.

    Raises:
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached.
    """
    from journeymesh.sources.mongodb_documents import MongodbDocuments

    return MongodbDocuments(*_live(location, mapping_path))


def open_installation(
    plan_path: str | Path, *, changed: dict[str, str] | None = None, swapped: dict[str, str] | None = None
) -> Installation:
    """What the plan names, opened when it is first needed. ``changed`` has other phases for some slices,
    ``swapped`` other stores.

    Raises:
        PlanInvalid: the plan file cannot be followed.
    """
    from journeymesh.settings import retention_of
    from journeymesh.strangler.control import Control
    from journeymesh.strangler.installation import Installation
    from journeymesh.strangler.plan import load_plan, with_phases, with_swap

    plan = with_phases(load_plan(plan_path), changed or {})
    for name, store in (swapped or {}).items():
        plan = with_swap(plan, name, store)
    legacy = plan.legacy
    return Installation(
        plan=plan,
        rules=rules_kept(legacy.rules, legacy.rules, _reachable(store.url for store in plan.stores.values())),
        control=Control(plan.control),
        open_store=open_store,
        open_legacy=lambda: open_vehicle_source(legacy.source, legacy.mapping),
        open_remover=lambda: open_remover(legacy.source, legacy.mapping),
        open_writer=lambda: open_fix_writer(legacy.source, legacy.mapping),
        keep_fixes=retention_of,
        exports=Path(plan_path).parent / "retired",
    )


def _reachable(urls: Iterable[str]) -> Iterator[Store]:
    """Those stores that can be opened and have been written to."""
    for url in urls:
        with suppress(JourneymeshError), closing(open_store(url)) as store:
            if store.schema_version()[0] is not None:
                yield store


def _live(location: str, mapping_path: str | Path | None) -> tuple[str, Mapping]:
    """The URL of a live MongoDB and its mapping."""
    shown = shown_url(location)
    if not location.startswith(("mongodb://", "mongodb+srv://")):
        raise UsageError(
            f"source {shown} cannot be asked by vehicle and followed", todo="give a mongodb:// URL of a live database"
        )
    if mapping_path is None:
        raise UsageError(
            f"source {shown} needs a mapping",
            todo="give --mapping FILE; `journeymesh mapping schema` says what it holds",
        )
    from journeymesh.sources.mapping import load_mapping

    mapping = load_mapping(Path(mapping_path))
    _check_for_documents(mapping)
    from journeymesh.sources.mongodb_queries import has_literal

    if mapping.fields.vehicle.is_beside:
        raise MappingInvalid(
            "fields.vehicle: a source that is asked by vehicle needs it in the documents",
            todo="give the path of a field; `journeymesh preprocess` reads the others",
        )
    if has_literal(mapping.fields.vehicle.path):
        raise MappingInvalid(
            f"fields.vehicle: no query finds the key of {mapping.fields.vehicle.path}, which has a dot in it",
            todo="run `journeymesh preprocess`, which reads whole documents, or rename the field",
        )
    return location, mapping


def _check_for_documents(mapping: Mapping) -> None:
    """Refuse what does not stand in documents of a database: one signal a row."""
    if mapping.layout == "signals":
        raise MappingInvalid(
            "layout signals is for files of one signal a row", todo="use layout: document, with the signals' paths"
        )


def rules_kept(named: str | None, configured: str, stores: Iterable[Store]) -> JourneyRules:
    """The rules for work on these stores: those named, else those configured. A built-in name that says no version
    means the version that the stores' journeys were made with; the newest where there are none yet.

    Raises:
        RulesInvalid: as ``load_rules``.
    """
    from journeymesh.journeys.rules import BUILT_IN, VERSIONS

    name = named or configured
    if name not in BUILT_IN:
        return load_rules(name)
    profile = BUILT_IN[name].profile
    held = {used.digest for store in stores for used in store.rules()}
    kept = [rules for rules in VERSIONS.values() if rules.digest in held and rules.profile == profile]
    return kept[0] if len(kept) == 1 else BUILT_IN[name]


def load_rules(name_or_path: str) -> JourneyRules:
    """The rules of a built-in name (``always-on``, ``engine-switched``: the newest; ``always-on-2026.1``: that version)
    or of a YAML file.

    Raises:
        RulesInvalid: naming the file and the first wrong key or value.
    """
    from journeymesh.journeys.rules import BUILT_IN, VERSIONS, rules_from_mapping

    if (built_in := BUILT_IN.get(name_or_path) or VERSIONS.get(name_or_path)) is not None:
        return built_in
    import yaml

    try:
        document = load_yaml(Path(name_or_path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join([*BUILT_IN, *VERSIONS])
        raise RulesInvalid(
            f"rules {name_or_path} cannot be read: {_reason(error)}", todo=f"give a YAML file, or one of {known}"
        ) from error
    except yaml.YAMLError as error:
        raise RulesInvalid(f"rules {name_or_path}: not YAML: {_one_line(error)}", todo="correct the file") from error
    if not isinstance(document, dict):
        raise RulesInvalid(f"rules {name_or_path}: expected keys and values", todo="see docs/reference/rules")
    try:
        return rules_from_mapping(document)
    except RulesInvalid as error:
        raise RulesInvalid(f"{name_or_path}: {error.what}", todo=error.todo) from error


def load_policies(path: str | Path) -> Sequence[Policy]:
    """The policies in a YAML, JSON, CSV or Parquet file.

    Raises:
        PoliciesInvalid: naming the file and the first policy that cannot be used.
    """
    from journeymesh.sources.policies_file import load_policies as load

    return load(path)


def _kind_of(location: str, mapping: Mapping | None = None) -> str:
    """parquet, files (of text, or of several kinds), mongodb or mongodump."""
    if location.startswith(("mongodb://", "mongodb+srv://")):
        return "mongodb"
    is_pattern = any(sign in location for sign in "*?[") and not Path(location).exists()
    if "://" not in location and not is_pattern and not Path(location).exists():
        raise SourceMissing(f"source {location} does not exist", todo="give the path or URL of the source")
    from journeymesh.sources.dump_bytes import is_dump
    from journeymesh.sources.files import files_of

    if location.lower().endswith(_BSON_ENDINGS) or is_dump(location):
        return "mongodump"
    names = [file.path.lower() for file in files_of(location)]
    if any(name.endswith(_BSON_ENDINGS) for name in names):
        return "mongodump"
    if not all(name.endswith(_PARQUET_ENDINGS) for name in names):
        return "files"
    if mapping is None:
        return "parquet"
    vehicle = mapping.fields.vehicle
    is_beside = vehicle.is_beside or any(f"/{vehicle.path.lower()}=" in name for name in names)
    return "files" if is_beside or mapping.layout != "document" else "parquet"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else "it is not UTF-8") or type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
