"""Everything that a decision needs, opened as one from an access file and closed as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from journeymesh.access.access_file import (
    AccessFile,
    AccessInvalid,
    KubernetesRbac,
    OpenIdConnect,
    StaticPeople,
    load_access_file,
)

if TYPE_CHECKING:
    from journeymesh.access.decide import Decider
    from journeymesh.governance.approval_book import ApprovalBook
    from journeymesh.governance.approval_records import ApprovalRecords
    from journeymesh.governance.contract import Contracts
    from journeymesh.identity.identity import IdentityProvider
    from journeymesh.identity.providers import Providers
    from journeymesh.identity.static import StaticProvider
    from journeymesh.ledger.audit import Audit
    from journeymesh.ledger.checkpoints import CheckpointFolder, CheckpointSigner
    from journeymesh.ledger.port import AuditWriter
    from journeymesh.ledger.pseudonyms import Pseudonyms


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What decides, and what it decides by."""

    file: AccessFile
    providers: Providers
    contracts: Contracts
    approvals: ApprovalRecords
    book: ApprovalBook
    audit: Audit
    writer: AuditWriter
    pseudonyms: Pseudonyms
    decider: Decider


@contextmanager
def open_access(path: str | Path, *, migrate: bool = False) -> Iterator[Access]:
    """What the access file names. ``migrate``: create or upgrade its tables first.

    Raises:
        AccessInvalid, ContractInvalid, PurposesInvalid, CedarInvalid, PeopleInvalid: a file cannot be used.
        StoreUnavailable: the database cannot be reached, or lacks its tables.
    """
    from journeymesh.access.cedar import CedarPolicies, files_in, shipped_files
    from journeymesh.access.decide import Decider, DecisionInputs
    from journeymesh.governance.approval_book import ApprovalBook
    from journeymesh.governance.approval_records import ApprovalRecords
    from journeymesh.governance.approval_tables import ApprovalDatabase
    from journeymesh.identity.providers import Providers
    from journeymesh.ledger.audit import Audit
    from journeymesh.ledger.audit_tables import AuditDatabase
    from journeymesh.ledger.pseudonyms import Pseudonyms

    file = load_access_file(path)
    pseudonyms = Pseudonyms.from_file(file.keys.pseudonyms)
    further = [] if file.cedar is None else files_in(Path(file.cedar))
    policies = CedarPolicies.of([*shipped_files(), *further])
    contracts = load_contracts(file)
    if migrate:
        _migrate(file)
    with ExitStack() as opened:
        databases = (AuditDatabase(file.database), ApprovalDatabase(file.database))
        for database in databases:
            opened.callback(database.close)
            database.require_schema()
        audit = Audit(databases[0])
        approvals = ApprovalRecords(databases[1], contracts)
        providers = Providers(_provider(each, file.audience) for each in file.providers)
        opened.callback(providers.close)
        book = ApprovalBook(approvals)
        opened.callback(book.close)
        writer = audit.writer()
        opened.callback(writer.close)
        decider = Decider(
            DecisionInputs(
                providers=providers,
                approvals=book,
                contracts=contracts,
                policies=policies,
                audit=writer,
                pseudonyms=pseudonyms,
            )
        )
        opened.callback(decider.close)
        yield Access(
            file=file,
            providers=providers,
            contracts=contracts,
            approvals=approvals,
            book=book,
            audit=audit,
            writer=writer,
            pseudonyms=pseudonyms,
            decider=decider,
        )


@contextmanager
def open_audit(path: str | Path) -> Iterator[tuple[Audit, CheckpointSigner, CheckpointFolder]]:
    """The audit of an access file, what signs its checkpoints, and where they are kept.

    Raises:
        AccessInvalid: the file cannot be used. StoreUnavailable: the database cannot be reached.
    """
    from journeymesh.ledger.audit import Audit
    from journeymesh.ledger.audit_tables import AuditDatabase

    file = load_access_file(path)
    database = AuditDatabase(file.database)
    try:
        database.require_schema()
        yield Audit(database), checkpoint_signer(file), checkpoint_folder(file)
    finally:
        database.close()


def keep_after_end_days(path: str | Path) -> int | None:
    """How long the contract has a former customer's data kept; None: it does not say.

    Raises:
        AccessInvalid, ContractInvalid: a file cannot be used.
    """
    days = [contract.keep_after_end_days for contract in load_contracts(load_access_file(path))]
    return max((each for each in days if each is not None), default=None)


def access_database(path: str | Path) -> str:
    """URL of the database of an access file, which has the audit, approvals and kept answers.

    Raises:
        AccessInvalid: the file cannot be used.
    """
    return load_access_file(path).database


class AuditedTreatments:
    """Records treatments in the audit: of whom by the term's own pseudonym, which nobody can make again."""

    def __init__(self, audit: Audit, writer: AuditWriter) -> None:
        self._audit, self._writer = audit, writer

    def treated(self, treatment_id: str, pseudonym: str) -> None:
        """Record it, unless it is recorded.

        Raises:
            AuditUnwritable: it cannot be recorded. StoreUnavailable: the audit cannot be read.
        """
        key = f"{treatment_id}:{pseudonym}"
        if self._audit.find(key) is None:
            body = {"treatment": treatment_id, "term": pseudonym}
            self._writer.append("privacy.treated", body, key=key).result(_AUDIT_WAITS_S)


@contextmanager
def audited_treatments(path: str | Path) -> Iterator[AuditedTreatments]:
    """The audit of an access file, to record treatments in.

    Raises:
        AccessInvalid: the file cannot be used. StoreUnavailable: the database cannot be reached.
    """
    from journeymesh.ledger.audit import Audit
    from journeymesh.ledger.audit_tables import AuditDatabase

    with closing(AuditDatabase(load_access_file(path).database)) as database:
        database.require_schema()
        audit = Audit(database)
        with closing(audit.writer()) as writer:
            yield AuditedTreatments(audit, writer)


_AUDIT_WAITS_S = 30.0


def migrate_access(path: str | Path) -> str:
    """Create or upgrade the tables of approvals, of the audit and of sessions; returns the database as it may be
    shown."""
    return _migrate(load_access_file(path))


def _migrate(file: AccessFile) -> str:
    from journeymesh.databases.database import SqlDatabase
    from journeymesh.governance.approval_tables import ApprovalDatabase
    from journeymesh.identity.session_tables import SessionDatabase
    from journeymesh.ledger.audit_tables import AuditDatabase

    database: SqlDatabase
    for database in (AuditDatabase(file.database), ApprovalDatabase(file.database), SessionDatabase(file.database)):
        try:
            database.migrate()
        finally:
            database.close()
    return database.shown


def checkpoint_signer(file: AccessFile) -> CheckpointSigner:
    """What signs checkpoints of the audit."""
    from journeymesh.ledger.checkpoints import CheckpointSigner

    return CheckpointSigner(_content(file.keys.checkpoints, "the key of checkpoints"))


def checkpoint_folder(file: AccessFile) -> CheckpointFolder:
    """Where checkpoints of the audit are kept."""
    from journeymesh.ledger.checkpoints import CheckpointFolder

    return CheckpointFolder(file.checkpoints)


def load_contracts(file: AccessFile) -> Contracts:
    """The contract and the purposes: the file's own, or those that are brought along."""
    from journeymesh.governance.contract import SHIPPED_CONTRACT, Contracts, load_contract
    from journeymesh.governance.purposes import SHIPPED_PURPOSES, load_purposes

    purposes = load_purposes(file.purposes or SHIPPED_PURPOSES)
    return Contracts([load_contract(file.contract or SHIPPED_CONTRACT)], purposes)


def cursor_key(file: AccessFile) -> bytes:
    """A key of 32 bytes for sealing cursors, the same for every replica."""
    from journeymesh.ledger.pseudonyms import derived_key

    return derived_key(_content(file.keys.pseudonyms, "the key of pseudonyms"), purpose=b"cursors of journeyapi")


def open_minter(path: str | Path, name: str | None = None) -> StaticProvider:
    """The access file's static provider, the one of this name where there are several: it mints tokens.

    Raises:
        AccessInvalid: the file has none, or several and no name was given.
    """
    file = load_access_file(path)
    return _static(file.static_people(path, name), file.audience)


def _provider(named: StaticPeople | OpenIdConnect | KubernetesRbac, audience: str) -> IdentityProvider:
    """The provider that an entry of the access file describes."""
    match named:
        case StaticPeople():
            return _static(named, audience)
        case OpenIdConnect():
            from journeymesh.identity.oidc import OidcProvider, OidcSettings

            return OidcProvider(
                named.name,
                OidcSettings(
                    issuer=named.issuer,
                    audience=audience,
                    internal_url=named.internal_url,
                    ca_file=_path(named.ca_file),
                    tenant_claim=named.tenant_claim,
                    domains_claim=named.domains_claim,
                    person_claim=named.person_claim,
                ),
                tenants=_set(named.tenants),
            )
        case KubernetesRbac():
            return _kubernetes(named, audience)


def _static(named: StaticPeople, audience: str) -> StaticProvider:
    from journeymesh.identity.static import StaticProvider, StaticSettings

    settings = StaticSettings(people=Path(named.people), key=Path(named.key), issuer=named.issuer, audience=audience)
    return StaticProvider(named.name, settings, tenants=_set(named.tenants))


def _kubernetes(named: KubernetesRbac, audience: str) -> IdentityProvider:
    from journeymesh.identity.kubernetes import GroupMeaning, KubernetesProvider, KubernetesSettings

    groups = {
        group: GroupMeaning(tenant=means.tenant, domains=frozenset(means.domains))
        for group, means in named.groups.items()
    }
    if named.url is None or named.token_file is None:
        settings = KubernetesSettings.in_cluster(
            issuer=named.issuer, audience=audience, audiences=frozenset(named.audiences), groups=groups
        )
    else:
        settings = KubernetesSettings(
            url=named.url,
            ca_file=_path(named.ca_file),
            token_file=Path(named.token_file),
            issuer=named.issuer,
            audience=audience,
            audiences=frozenset(named.audiences),
            groups=groups,
        )
    return KubernetesProvider(named.name, settings, tenants=_set(named.tenants))


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


def _set(values: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)


def _content(path: str, called: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AccessInvalid(
            f"{called} {path} cannot be read: {error.strerror}", todo="make it with: journeymesh access init FOLDER"
        ) from error
