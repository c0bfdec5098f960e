"""Several providers behind one question: who is asked, what is kept and for how long, and no on any fault."""

from __future__ import annotations

import threading
import time
import timeit
from concurrent.futures import ThreadPoolExecutor

import pytest

from journeymesh.errors import SettingsInvalid, StoreUnavailable
from journeymesh.identity.identity import Identity, ProviderState, ProviderUnavailable, TokenRefused
from journeymesh.identity.providers import CacheTimes, Providers
from journeymesh.identity.tokens import token_digest
from tests.support.tokens_made import ISSUER, NOW_S, unsigned


class Scripted:
    """A provider that believes every token, and counts."""

    kind = "scripted"
    staleness_s = 0.0

    def __init__(self, name: str = "idp", issuer: str = ISSUER, tenants: frozenset[str] | None = None) -> None:
        self.name = name
        self.issuers: tuple[str, ...] = (issuer,)
        self.tenants = tenants
        self.tenant = "northgate"
        self.has = frozenset({"journeys:read"})
        self.fault: Exception | None = None
        self.identified = self.asked = 0

    def identify(self, token: str) -> Identity:
        self.identified += 1
        if self.fault:
            raise self.fault
        return Identity(
            provider=self.name,
            subject="anna",
            tenant=self.tenant,
            expires_at_s=NOW_S + 3600,
            token_digest=token_digest(token),
        )

    def capabilities(self, token: str, identity: Identity, product: str) -> frozenset[str]:
        self.asked += 1
        if self.fault:
            raise self.fault
        return self.has if product == "journeys" else frozenset()

    def state(self) -> ProviderState:
        return ProviderState(self.name, self.kind, self.issuers[0], True)

    def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def wall(self) -> float:
        return NOW_S + self.now_s

    def __call__(self) -> float:
        return self.now_s


def behind(clock: Clock, *providers: Scripted, times: CacheTimes | None = None) -> Providers:
    return Providers(providers, times=times, now_s=clock.wall, clock=clock)


TOKEN = unsigned()


def test_a_token_is_verified_once_and_capabilities_are_asked_once() -> None:
    idp = Scripted()
    providers = behind(Clock(), idp)
    assert providers.would_block(TOKEN, "journeys")
    for _ in range(5):
        assert providers.identify(TOKEN).subject == "anna"
        assert providers.capabilities(TOKEN, "journeys") == {"journeys:read"}
    assert (idp.identified, idp.asked) == (1, 1)
    assert not providers.would_block(TOKEN, "journeys")
    assert providers.would_block(TOKEN, "platform")


def test_a_revoked_capability_ends_after_thirty_seconds() -> None:
    clock, idp = Clock(), Scripted()
    providers = behind(clock, idp)
    assert providers.capabilities(TOKEN, "journeys") == {"journeys:read"}
    idp.has = frozenset()
    clock.now_s = 29.9
    assert providers.capabilities(TOKEN, "journeys") == {"journeys:read"}
    clock.now_s = 30.0
    assert providers.would_block(TOKEN, "journeys")
    assert providers.capabilities(TOKEN, "journeys") == frozenset()


def test_thirty_seconds_count_from_the_question_not_from_a_slow_answer() -> None:
    clock, idp = Clock(), Scripted()

    def slow(token: str, identity: Identity, product: str) -> frozenset[str]:
        clock.now_s += 20
        return frozenset({"journeys:read"})

    idp.capabilities = slow  # type: ignore[method-assign]
    providers = behind(clock, idp)
    providers.capabilities(TOKEN, "journeys")
    clock.now_s += 10
    assert providers.would_block(TOKEN, "journeys")


def test_answers_that_are_old_when_they_come_are_kept_so_much_shorter() -> None:
    clock, idp = Clock(), Scripted()
    idp.staleness_s = 10.0
    providers = behind(clock, idp)
    providers.capabilities(TOKEN, "journeys")
    clock.now_s = 19.9
    assert not providers.would_block(TOKEN, "journeys")
    clock.now_s = 20.0
    assert providers.would_block(TOKEN, "journeys")


def test_nobody_can_be_told_to_keep_capabilities_longer() -> None:
    for age_s in (31.0, -1.0, float("nan")):
        with pytest.raises(SettingsInvalid, match="revoked"):
            CacheTimes(capabilities_s=age_s)


def test_other_policies_ask_anew() -> None:
    idp = Scripted()
    providers = behind(Clock(), idp)
    for version in ("1", "1", "2"):
        providers.capabilities(TOKEN, "journeys", version)
    assert idp.asked == 2
    assert providers.would_block(TOKEN, "journeys", "3")


def test_a_token_that_was_verified_still_expires() -> None:
    clock, idp = Clock(), Scripted()
    providers = behind(clock, idp, times=CacheTimes(identity_s=10_000))
    providers.capabilities(TOKEN, "journeys")
    clock.now_s = 3599
    providers.capabilities(TOKEN, "journeys")
    clock.now_s = 3600
    with pytest.raises(TokenRefused, match="expired"):
        providers.capabilities(TOKEN, "journeys")
    assert idp.identified == 1
    assert providers.would_block(TOKEN, "journeys")  # and is forgotten


def test_a_verified_token_is_verified_again_after_five_minutes() -> None:
    clock, idp = Clock(), Scripted()
    providers = behind(clock, idp)
    providers.identify(TOKEN)
    clock.now_s = 300
    providers.identify(TOKEN)
    assert idp.identified == 2


def test_a_token_goes_to_its_issuers_provider_and_to_no_other() -> None:
    ours, theirs = Scripted("ours"), Scripted("theirs", "https://other.example")
    providers = behind(Clock(), ours, theirs)
    assert providers.identify(TOKEN).provider == "ours"
    assert providers.identify(unsigned(iss="https://other.example")).provider == "theirs"
    with pytest.raises(TokenRefused, match="issuer_unknown"):
        providers.identify(unsigned(iss="https://stranger.example"))
    assert (ours.identified, theirs.identified) == (1, 1)


def test_a_refusal_by_one_provider_is_not_a_question_to_the_next() -> None:
    ours, theirs = Scripted("ours"), Scripted("theirs", "https://other.example")
    ours.fault = TokenRefused("signature_wrong")
    with pytest.raises(TokenRefused, match="signature_wrong"):
        behind(Clock(), ours, theirs).identify(TOKEN)
    assert theirs.identified == 0


def test_a_provider_cannot_vouch_for_tenants_that_are_not_its_own() -> None:
    idp = Scripted(tenants=frozenset({"southgate"}))
    with pytest.raises(TokenRefused, match="tenant_unclear"):
        behind(Clock(), idp).identify(TOKEN)


def test_two_providers_of_one_issuer_are_told_apart_by_tenant() -> None:
    south = Scripted("south", tenants=frozenset({"southgate"}))
    north = Scripted("north", tenants=frozenset({"northgate"}))
    providers = behind(Clock(), south, north)
    assert providers.identify(TOKEN).provider == "north"
    providers.capabilities(TOKEN, "journeys")
    assert (south.asked, north.asked) == (0, 1)


@pytest.mark.parametrize(
    ("one", "other"), [(None, None), (frozenset({"a"}), None), (frozenset({"a", "b"}), frozenset({"b"}))]
)
def test_two_providers_that_could_both_vouch_are_a_wrong_setting(
    one: frozenset[str] | None, other: frozenset[str] | None
) -> None:
    with pytest.raises(SettingsInvalid, match="could both vouch"):
        Providers([Scripted("one", tenants=one), Scripted("other", tenants=other)])


def test_two_providers_of_one_name_are_a_wrong_setting() -> None:
    with pytest.raises(SettingsInvalid, match="named twice"):
        Providers([Scripted("idp"), Scripted("idp", "https://other.example")])


@pytest.mark.parametrize(
    "fault", [RuntimeError("a bug"), KeyError("sub"), StoreUnavailable("down"), MemoryError(), RecursionError()]
)
def test_a_fault_that_nobody_foresaw_is_no_yes(fault: Exception) -> None:
    idp = Scripted()
    providers = behind(Clock(), idp)
    idp.fault = fault
    with pytest.raises(ProviderUnavailable, match="idp"):
        providers.identify(TOKEN)
    idp.fault = None
    providers.identify(TOKEN)
    idp.fault = fault
    with pytest.raises(ProviderUnavailable, match="idp"):
        providers.capabilities(TOKEN, "journeys")


def test_a_fault_is_not_kept() -> None:
    idp = Scripted()
    idp.fault = ProviderUnavailable("idp", "it cannot be reached")
    providers = behind(Clock(), idp)
    with pytest.raises(ProviderUnavailable):
        providers.capabilities(TOKEN, "journeys")
    idp.fault = None
    assert providers.capabilities(TOKEN, "journeys") == {"journeys:read"}


def test_what_was_known_does_not_outlive_an_outage() -> None:
    clock, idp = Clock(), Scripted()
    providers = behind(clock, idp)
    providers.capabilities(TOKEN, "journeys")
    idp.fault = ProviderUnavailable("idp", "it cannot be reached")
    clock.now_s = 30
    with pytest.raises(ProviderUnavailable):
        providers.capabilities(TOKEN, "journeys")


def test_a_token_that_its_provider_takes_back_is_no_longer_known() -> None:
    clock, idp = Clock(), Scripted()
    providers = behind(clock, idp)
    providers.capabilities(TOKEN, "journeys")
    clock.now_s = 30
    idp.fault = TokenRefused("no_longer_active")
    with pytest.raises(TokenRefused, match="no_longer_active"):
        providers.capabilities(TOKEN, "journeys")
    assert providers.would_block(TOKEN, "journeys")


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c", "\ud800.a.b", "x" * 100_000])
def test_what_is_no_token_asks_nobody(token: str | None) -> None:
    idp = Scripted()
    providers = behind(Clock(), idp)
    with pytest.raises(TokenRefused):
        providers.identify(token)
    providers.would_block(token, "journeys")
    assert idp.identified == 0


def test_of_a_hundred_threads_with_one_token_one_asks() -> None:
    idp, entered = Scripted(), threading.Event()
    start = threading.Barrier(100)
    ask = idp.capabilities

    def slow(token: str, identity: Identity, product: str) -> frozenset[str]:
        entered.wait(0.3)
        return ask(token, identity, product)

    idp.capabilities = slow  # type: ignore[method-assign]
    providers = behind(Clock(), idp)

    def one(_: int) -> frozenset[str]:
        start.wait()
        return providers.capabilities(TOKEN, "journeys")

    with ThreadPoolExecutor(100) as threads:
        assert set(threads.map(one, range(100))) == {frozenset({"journeys:read"})}
    assert (idp.identified, idp.asked) == (1, 1)


def test_those_who_wait_for_anothers_question_share_its_fault() -> None:
    idp, asked = Scripted(), threading.Event()

    def failing(token: str) -> Identity:
        asked.wait(0.2)
        raise ProviderUnavailable("idp", "it cannot be reached")

    idp.identify = failing  # type: ignore[method-assign]
    providers = behind(Clock(), idp)

    def one(_: int) -> bool:
        with pytest.raises(ProviderUnavailable):
            providers.identify(TOKEN)
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(8)))


def test_the_memory_of_tokens_is_bounded() -> None:
    idp = Scripted()
    providers = behind(Clock(), idp, times=CacheTimes(entries=10))
    for n in range(50):
        providers.capabilities(unsigned(jti=n), "journeys")
    assert len(providers._identities._kept) == len(providers._capabilities._kept) == 10
    assert not providers.would_block(unsigned(jti=49), "journeys")
    assert providers.would_block(unsigned(jti=39), "journeys")


def test_a_known_answer_takes_at_most_twenty_microseconds() -> None:
    providers = Providers([Scripted()], now_s=lambda: NOW_S)
    token = unsigned(padding="x" * 900)

    def ask() -> None:
        providers.identify(token)
        providers.capabilities(token, "journeys")

    ask()
    best_s = min(timeit.repeat(ask, number=1000, repeat=9, timer=time.process_time)) / 1000
    assert best_s <= 20e-6, f"{best_s * 1e6:.1f} µs of CPU"
