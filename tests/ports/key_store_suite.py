"""What every key store does; each adapter's test inherits it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime

import pytest

from journeymesh.journeys.policies import PolicyTerm
from journeymesh.keys.derivations import SealBroken
from journeymesh.keys.port import KeyStore, RunSubject, Subject, VehicleMonth

TERM = PolicyTerm("P-1", "acme", datetime(2025, 1, 1, tzinfo=UTC))
RENEWED = PolicyTerm("P-1", "acme", datetime(2026, 1, 1, tzinfo=UTC))
OTHERS = PolicyTerm("P-1", "other", datetime(2025, 1, 1, tzinfo=UTC))
MONTH = VehicleMonth("truck-7", 660)
RUN = RunSubject("run-1")
SUBJECTS: tuple[Subject, ...] = (TERM, RENEWED, OTHERS, MONTH, RUN)


class KeyStoreSuite(ABC):
    @abstractmethod
    def make_store(self) -> KeyStore: ...

    @pytest.fixture
    def store(self) -> KeyStore:
        return self.make_store()

    def test_a_subject_gets_one_secret_that_stays(self, store: KeyStore) -> None:
        made = store.ensure([(each, 660) for each in SUBJECTS])
        again = store.ensure([(each, 661) for each in SUBJECTS])
        assert len({keys.handle(660) for keys in made.values()}) == len(SUBJECTS)
        assert {each: keys.handle(660) for each, keys in again.items()} == {
            each: keys.handle(660) for each, keys in made.items()
        }
        assert {each: keys.handle(660) for each, keys in store.keys_of(SUBJECTS).items()} == {
            each: keys.handle(660) for each, keys in made.items()
        }

    def test_a_handle_leads_to_its_subject_and_months_have_others(self, store: KeyStore) -> None:
        keys = store.ensure([(TERM, 660), (TERM, 661), (TERM, None), (MONTH, 660)])
        handles = [keys[TERM].handle(660), keys[TERM].handle(661), keys[TERM].handle(None), keys[MONTH].handle(660)]
        assert len(set(handles)) == 4
        led = store.by_handles([*handles, keys[TERM].handle(662), "0" * 32])
        assert [store.subject_of(led[handle]) for handle in handles] == [TERM, TERM, TERM, MONTH]
        assert len(led) == 4

    def test_a_subject_without_a_secret_has_no_keys(self, store: KeyStore) -> None:
        store.ensure([(TERM, 660)])
        assert store.keys_of([RENEWED, OTHERS, MONTH, RUN]) == {}
        assert list(store.keys_of([TERM, RENEWED])) == [TERM]

    def test_terms_are_found_by_number_and_months_by_vehicle(self, store: KeyStore) -> None:
        store.ensure([(each, 660) for each in SUBJECTS])
        assert sorted(store.terms_of_number("P-1")) == sorted([TERM, RENEWED, OTHERS])
        assert store.terms_of_number("P-") == []
        assert store.months_of_vehicle("truck-7") == [MONTH]
        assert store.months_of_vehicle("truck") == []
        assert set(store.subjects()) == set(SUBJECTS)

    def test_what_is_sealed_opens_at_its_place_alone(self, store: KeyStore) -> None:
        keys = store.ensure([(TERM, 660), (OTHERS, 660)])
        sealed = keys[TERM].seal(b"51.5,-0.1", kind="ends", stored_id="a")
        assert keys[TERM].unseal(sealed, kind="ends", stored_id="a") == b"51.5,-0.1"
        assert b"51.5" not in sealed
        assert sealed != keys[TERM].seal(b"51.5,-0.1", kind="ends", stored_id="a")
        changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        for who, value, kind, stored_id in (
            (OTHERS, sealed, "ends", "a"),
            (TERM, sealed, "ends", "b"),
            (TERM, sealed, "blocks", "a"),
            (TERM, changed, "ends", "a"),
            (TERM, sealed[:20], "ends", "a"),
            (TERM, b"\x02" + sealed[1:], "ends", "a"),
        ):
            with pytest.raises(SealBroken):
                keys[who].unseal(value, kind=kind, stored_id=stored_id)

    def test_derived_names_tell_subjects_kinds_and_months_apart(self, store: KeyStore) -> None:
        keys = store.ensure([(TERM, 660), (OTHERS, 660)])
        one, other = keys[TERM], keys[OTHERS]
        names = [
            *(each.stored_id(kind, name) for each in (one, other) for kind in ("j", "r") for name in ("a", "b")),
            *(each.vehicle_pseudonym("v", month) for each in (one, other) for month in (660, 661)),
            *(each.handle(660) for each in (one, other)),
        ]
        assert len(set(names)) == len(names)
        assert {len(name) for name in names} == {32}

    def test_what_is_shredded_is_gone_and_a_new_secret_is_another(self, store: KeyStore) -> None:
        keys = store.ensure([(TERM, 660), (TERM, 661), (RENEWED, 660), (MONTH, 660)])
        handles = [keys[TERM].handle(660), keys[TERM].handle(661)]
        sealed = keys[TERM].seal(b"x", kind="ends", stored_id="a")
        before = store.generation()
        assert store.shred([TERM, MONTH, OTHERS]) == 2
        assert store.generation() > before
        assert store.by_handles(handles) == {}
        assert store.keys_of([TERM, MONTH]) == {}
        assert store.terms_of_number("P-1") == [RENEWED]
        assert store.months_of_vehicle("truck-7") == []
        new = store.ensure([(TERM, 660)])[TERM]
        assert new.handle(660) not in handles
        with pytest.raises(SealBroken):
            new.unseal(sealed, kind="ends", stored_id="a")

    def test_a_rotation_changes_tokens_and_nothing_that_is_derived(self, store: KeyStore) -> None:
        keys = store.ensure([(TERM, 660), (MONTH, 660)])
        handle, index, tenants = keys[TERM].handle(660), store.index_key(), store.store_key()
        token, version, tenant = index.token("vehicle", "v"), index.version, tenants.token("tenant", "acme")
        sealed = keys[TERM].seal(b"x", kind="ends", stored_id="a")
        assert store.former_index_key() is None
        store.begin_rotation()
        store.begin_rotation()
        assert store.index_key().version == version + 1
        assert store.index_key().token("vehicle", "v") != token
        former = store.former_index_key()
        assert former is not None
        assert former.token("vehicle", "v") == token
        treatment = store.finish_rotation("t-1")
        assert store.finish_rotation("t-1") == treatment
        assert store.treatments() == [treatment]
        assert store.former_index_key() is None
        assert store.store_key().token("tenant", "acme") == tenant
        assert store.by_handles([handle])[handle].unseal(sealed, kind="ends", stored_id="a") == b"x"
        assert store.months_of_vehicle("truck-7") == [MONTH]
        assert store.terms_of_number("P-1") == [TERM]

    def test_tokens_tell_their_parts_apart(self, store: KeyStore) -> None:
        key = store.index_key()
        tokens = {key.token("number", "a", "bc"), key.token("number", "ab", "c"), key.token("vehicle", "a", "bc")}
        assert len(tokens) == 3

    def test_it_answers_whether_keys_can_be_had(self, store: KeyStore) -> None:
        store.check()
