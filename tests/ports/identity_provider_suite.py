"""What every identity provider must do, tried on people that it knows.

The people: ``analyst`` works for domain pricing of tenant northgate, ``ingest`` for telematics; ``guest`` belongs to
tenant northgate and is capable of nothing.
"""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from journeymesh.identity.capabilities import JOURNEYS, of_product
from journeymesh.identity.identity import PLATFORM, IdentityProvider, ProviderUnavailable, TokenRefused
from journeymesh.identity.providers import Providers


def of_role(role: str) -> dict[str, set[str]]:
    """What the realm in deploy/keycloak gives this role, by product."""
    return {
        product: {each.name for each in of_product(product) if role in each.roles.split()}
        for product in (JOURNEYS, PLATFORM)
    }


ANALYST, INGEST = of_role("analyst"), of_role("ingest")


class World(Protocol):
    """A provider, the people it knows and those who run it."""

    provider: IdentityProvider

    def token(self, person: str) -> str:
        """A new token of ``analyst``, ``ingest`` or ``guest``."""

    def token_for_others(self, person: str) -> str:
        """The same person's token for another audience than Journeymesh."""

    def take_capabilities(self, person: str) -> None:
        """From now on the person is capable of nothing."""

    def revoke(self, person: str) -> None:
        """From now on the person is nobody's any more."""

    def unreachable(self) -> IdentityProvider:
        """The same provider, as it is where its servers or files cannot be reached."""


class IdentityProviderSuite:
    """Inherited by each provider's tests, which give the fixture ``world``."""

    def test_a_token_says_who_bears_it(self, world: World) -> None:
        token = world.token("analyst")
        identity = world.provider.identify(token)
        assert (identity.provider, identity.tenant) == (world.provider.name, "northgate")
        assert identity.domains == {"pricing"}
        assert identity.subject
        assert len(identity.token_digest) == 32
        assert identity.expires_at_s > 1_700_000_000

    def test_a_person_is_the_same_with_every_token_and_nobody_else(self, world: World) -> None:
        first, again, other = (
            world.provider.identify(world.token(who)).subject for who in ("analyst", "analyst", "ingest")
        )
        assert first == again != other

    def test_capabilities_are_those_that_the_provider_gives(self, world: World) -> None:
        for person, expected in (("analyst", ANALYST), ("ingest", INGEST)):
            token = world.token(person)
            identity = world.provider.identify(token)
            for product in (JOURNEYS, PLATFORM):
                assert world.provider.capabilities(token, identity, product) == expected[product]

    def test_who_was_given_nothing_is_capable_of_nothing(self, world: World) -> None:
        token = world.token("guest")
        identity = world.provider.identify(token)
        assert identity.tenant == "northgate"
        for product in (JOURNEYS, PLATFORM):
            assert world.provider.capabilities(token, identity, product) == frozenset()

    @pytest.mark.parametrize("product", ["nothing", "", "*", "journeys ", "Journeys", "../journeys"])
    def test_nobody_is_capable_of_anything_on_a_product_that_there_is_not(self, world: World, product: str) -> None:
        token = world.token("analyst")
        assert world.provider.capabilities(token, world.provider.identify(token), product) == frozenset()

    def test_a_token_with_other_claims_does_not_hold(self, world: World) -> None:
        header, said, signature = world.token("analyst").split(".")
        for changed in ({"sub": "somebody"}, {"exp": 4_000_000_000}, {"tenant": ["other"]}, {"domains": ["claims"]}):
            self._refused(world, f"{header}.{_part({**_read(said), **changed})}.{signature}")

    def test_a_token_that_nobody_signed_does_not_hold(self, world: World) -> None:
        header, said, signature = world.token("analyst").split(".")
        for algorithm in ("none", "None", "HS256", ""):
            for kept in ("", signature):
                self._refused(world, f"{_part({**_read(header), 'alg': algorithm})}.{said}.{kept}")
        self._refused(world, f"{header}.{said}.")

    def test_a_token_that_a_stranger_signed_does_not_hold(self, world: World) -> None:
        header, said, _ = world.token("analyst").split(".")
        stranger = ECKey.generate_key("P-256")
        for kid in (_read(header).get("kid"), "strangers", None):
            named: dict[str, Any] = {"alg": "ES256", "typ": "JWT"} | ({"kid": kid} if kid else {})
            for brought in ({}, {"jwk": stranger.as_dict(private=False)}, {"jku": "https://stranger.example/keys"}):
                registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
                raw = json.dumps(_read(said)).encode()
                self._refused(world, jws.serialize_compact({**named, **brought}, raw, stranger, registry=registry))

    def test_a_token_for_somebody_else_does_not_hold(self, world: World) -> None:
        self._refused(world, world.token_for_others("analyst"))

    @pytest.mark.parametrize("garbage", ["", "x", "..", "a.b.c", "e30.e30.", "é.é.é", "a" * 100_000, "\x00.\x00.\x00"])
    def test_what_is_no_token_is_refused(self, world: World, garbage: str) -> None:
        self._refused(world, garbage)

    def test_a_refusal_says_nothing_of_token_or_person(self, world: World) -> None:
        token = world.token_for_others("analyst")
        with pytest.raises(TokenRefused) as refused:
            world.provider.identify(token)
        told = f"{refused.value} {refused.value.reason} {refused.value.__cause__}"
        for part in (*token.split("."), str(_read(token.split(".")[1])["sub"])):
            assert part not in told

    def test_capabilities_that_are_taken_away_are_gone_at_once(self, world: World) -> None:
        token = world.token("ingest")
        identity = world.provider.identify(token)
        assert world.provider.capabilities(token, identity, JOURNEYS) == INGEST[JOURNEYS]
        world.take_capabilities("ingest")
        assert world.provider.capabilities(token, identity, JOURNEYS) == frozenset()

    def test_behind_the_cache_they_are_gone_within_thirty_seconds(self, world: World) -> None:
        now_s = [0.0]
        providers = Providers([world.provider], clock=lambda: now_s[0])
        token = world.token("ingest")
        assert providers.capabilities(token, JOURNEYS) == INGEST[JOURNEYS]
        world.take_capabilities("ingest")
        now_s[0] = 30.0
        assert providers.capabilities(token, JOURNEYS) == frozenset()

    def test_who_is_revoked_is_refused_although_the_token_has_not_expired(self, world: World) -> None:
        token = world.token("analyst")
        identity = world.provider.identify(token)
        world.revoke("analyst")
        with pytest.raises(TokenRefused):
            world.provider.capabilities(token, identity, JOURNEYS)

    def test_where_it_cannot_be_reached_nobody_gets_in(self, world: World) -> None:
        token = world.token("analyst")
        identity = world.provider.identify(token)
        cut_off = world.unreachable()
        with pytest.raises(ProviderUnavailable):
            cut_off.identify(token)
        with pytest.raises(ProviderUnavailable):
            cut_off.capabilities(token, identity, JOURNEYS)
        state = cut_off.state()
        assert (state.ready, bool(state.what)) == (False, True)
        cut_off.close()

    def test_it_says_how_it_is_doing(self, world: World) -> None:
        world.provider.identify(world.token("analyst"))
        state = world.provider.state()
        assert (state.name, state.kind, state.ready) == (world.provider.name, world.provider.kind, True)
        assert state.issuer in world.provider.issuers

    def test_it_may_be_asked_by_many_threads(self, world: World) -> None:
        tokens = {person: world.token(person) for person in ("analyst", "ingest", "guest")}
        expected = {"analyst": ANALYST[JOURNEYS], "ingest": INGEST[JOURNEYS], "guest": set()}

        def ask(person: str) -> bool:
            identity = world.provider.identify(tokens[person])
            return world.provider.capabilities(tokens[person], identity, JOURNEYS) == expected[person]

        with ThreadPoolExecutor(12) as threads:
            assert all(threads.map(ask, list(tokens) * 12))

    def _refused(self, world: World, token: str) -> None:
        with pytest.raises(TokenRefused):
            world.provider.identify(token)


def _part(said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()


def _read(part: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read
