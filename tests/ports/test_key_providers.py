"""One suite over every provider of wrapping keys: a local file, SoftHSM, KMS's and Vault's protocols."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from journeymesh.errors import JourneymeshError
from journeymesh.keys.port import KeyLost, KeyProvider, KeysUnavailable
from journeymesh.keys.providers.aws_kms import AwsKmsProvider
from journeymesh.keys.providers.local_file import LocalFileProvider
from journeymesh.keys.providers.pkcs11 import Pkcs11Provider
from journeymesh.keys.providers.vault import VaultProvider
from tests.support.transit_double import TransitDouble, transit_double

SOFTHSM = next((path for path in ("/usr/lib/softhsm/libsofthsm2.so",) if os.path.exists(path)), None)
SECRET = bytes(range(32))


class KeyProviderSuite:
    """What every provider does. ``provider`` is a fixture of each."""

    keeps_destroyed_keys = False
    """A double that still opens what a deleted key wrapped: no evidence of shredding."""
    says_of_another_key: type[KeysUnavailable] = KeyLost

    def test_what_is_wrapped_is_unwrapped_and_not_shown(self, provider: KeyProvider) -> None:
        key_id = provider.create()
        wrapped = provider.wrap(key_id, SECRET, "store 1")
        assert SECRET not in wrapped
        assert provider.unwrap(key_id, wrapped, "store 1") == SECRET
        assert provider.wrap(key_id, SECRET, "store 1") != wrapped
        provider.check(key_id)

    def test_it_is_bound_to_its_context_and_its_key(self, provider: KeyProvider) -> None:
        key_id, other = provider.create(), provider.create()
        wrapped = provider.wrap(key_id, SECRET, "store 1")
        assert key_id != other
        for key, context in ((key_id, "store 2"), (other, "store 1")):
            with pytest.raises(self.says_of_another_key):
                provider.unwrap(key, wrapped, context)

    def test_what_was_changed_is_refused(self, provider: KeyProvider) -> None:
        key_id = provider.create()
        wrapped = provider.wrap(key_id, SECRET, "store 1")
        changed = wrapped[:-6] + bytes([wrapped[-6] ^ 1]) + wrapped[-5:]
        with pytest.raises(KeysUnavailable):
            provider.unwrap(key_id, changed, "store 1")

    def test_a_key_that_is_not_there_is_lost(self, provider: KeyProvider) -> None:
        key_id = provider.create()
        wrapped = provider.wrap(key_id, SECRET, "store 1")
        absent = "0" * 8 + "-0000-0000-0000-" + "0" * 12
        for ask in (
            lambda: provider.check(absent),
            lambda: provider.unwrap(absent, wrapped, "store 1"),
            lambda: provider.wrap(absent, SECRET, "store 1"),
        ):
            with pytest.raises(KeyLost) as raised:
                ask()
            assert raised.value.todo

    def test_a_destroyed_key_opens_nothing_and_is_destroyed_again_in_vain(self, provider: KeyProvider) -> None:
        key_id, other = provider.create(), provider.create()
        wrapped = provider.wrap(key_id, SECRET, "store 1")
        gone_at = provider.destroy(key_id)
        assert gone_at.tzinfo is not None
        assert gone_at - datetime.now(UTC) < timedelta(days=31)
        assert provider.destroy(key_id) - gone_at < timedelta(minutes=1)
        with pytest.raises(KeyLost):
            provider.check(key_id)
        if not self.keeps_destroyed_keys:
            with pytest.raises(KeyLost):
                provider.unwrap(key_id, wrapped, "store 1")
        provider.check(other)

    def test_it_goes_on_after_it_was_closed(self, provider: KeyProvider) -> None:
        key_id = provider.create()
        wrapped = provider.wrap(key_id, SECRET, "store 1")
        provider.close()
        provider.close()
        assert provider.unwrap(key_id, wrapped, "store 1") == SECRET

    def test_several_threads_use_it_at_once(self, provider: KeyProvider) -> None:
        key_id = provider.create()
        opened: list[bytes] = []

        def use() -> None:
            for _ in range(5):
                opened.append(provider.unwrap(key_id, provider.wrap(key_id, SECRET, "c"), "c"))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened == [SECRET] * 20


class TestLocalFile(KeyProviderSuite):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> KeyProvider:
        return LocalFileProvider(tmp_path / "keys")

    def test_the_file_is_of_its_owner_and_says_what_it_is_for(self, provider: KeyProvider, tmp_path: Path) -> None:
        provider.create()
        assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
        assert "for development" in (tmp_path / "keys").read_text()

    def test_a_file_that_others_may_read_is_refused(self, provider: KeyProvider, tmp_path: Path) -> None:
        key_id = provider.create()
        (tmp_path / "keys").chmod(0o640)
        for ask in (lambda: provider.check(key_id), provider.create, lambda: provider.destroy(key_id)):
            with pytest.raises(KeysUnavailable, match=r"others.*0640.*chmod 600"):
                ask()

    @pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"keys": [1]}', b'{"keys": {"a": 1}}'])
    def test_a_file_of_something_else_is_refused(self, provider: KeyProvider, tmp_path: Path, content: bytes) -> None:
        key_id = provider.create()
        (tmp_path / "keys").write_bytes(content)
        with pytest.raises(KeysUnavailable, match="not a file of keys"):
            provider.check(key_id)

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(KeysUnavailable, match="folder"):
            LocalFileProvider(tmp_path / "none" / "keys").create()


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if SOFTHSM is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed: apt-get install softhsm2")
    # The library reads its configuration once in a process, so tokens of all tests share one folder.
    folder = tmp_path.parent / "softhsm"
    folder.mkdir(exist_ok=True)
    folder = Path(os.environ.setdefault("JOURNEYMESH_TEST_SOFTHSM", str(folder)))
    (folder / "conf").write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")
    label = f"jm-{os.urandom(4).hex()}"
    made = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "1234", "--so-pin", "5678"]
    subprocess.run(made, check=True, capture_output=True)
    import pkcs11

    pkcs11.lib(SOFTHSM).reinitialize()
    return label


class TestSoftHsm(KeyProviderSuite):
    @pytest.fixture
    def provider(self, softhsm: str) -> Iterator[KeyProvider]:
        made = Pkcs11Provider(str(SOFTHSM), softhsm, lambda: "1234")
        yield made
        made.close()

    def test_a_wrapping_key_cannot_be_taken_out(self, provider: Pkcs11Provider) -> None:
        import pkcs11

        key_id = provider.create()
        key = provider._asked(lambda: provider._key(key_id))
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]

    def test_a_wrong_pin_a_wrong_token_and_a_wrong_library_are_told_apart(self, softhsm: str) -> None:
        for provider, words in (
            (Pkcs11Provider(str(SOFTHSM), softhsm, lambda: "9999"), "PIN"),
            (Pkcs11Provider(str(SOFTHSM), "no-such-token", lambda: "1234"), "no such token"),
            (Pkcs11Provider("/no/such/library.so", softhsm, lambda: "1234"), "check the HSM and its library"),
        ):
            with pytest.raises(KeysUnavailable, match=words) as raised:
                provider.create()
            assert "1234" not in str(raised.value)
            assert "9999" not in str(raised.value)
            provider.close()

    def test_a_token_that_does_not_answer_is_not_waited_for(self, softhsm: str) -> None:
        ends = threading.Event()

        def slow() -> str:
            ends.wait(20)
            return "1234"

        provider = Pkcs11Provider(str(SOFTHSM), softhsm, slow, timeout_s=0.2)
        with pytest.raises(KeysUnavailable, match=r"did not answer within 0\.2 s"):
            provider.create()
        ends.set()
        provider.close()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestAwsKmsProtocol(KeyProviderSuite):
    """By moto's server: evidence of the protocol alone, for it opens what deleted keys wrapped."""

    keeps_destroyed_keys = True
    says_of_another_key = KeysUnavailable  # of moto AccessDeniedException, of KMS IncorrectKeyException

    @pytest.fixture
    def provider(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyProvider]:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        made = AwsKmsProvider("eu-central-1", endpoint=endpoint)
        yield made
        made.close()

    def test_a_key_is_gone_after_the_waiting_time_which_is_shown(self, provider: KeyProvider) -> None:
        gone_at = provider.destroy(provider.create())
        assert timedelta(days=6) < gone_at - datetime.now(UTC) < timedelta(days=8)

    def test_a_disabled_key_is_not_ready(self, provider: AwsKmsProvider) -> None:
        key_id = provider.create()
        provider._asked(lambda kms: kms.disable_key(KeyId=key_id))
        with pytest.raises(KeyLost, match="Disabled"):
            provider.check(key_id)


class TestVaultProtocol(KeyProviderSuite):
    """By a double of the transit engine's documented protocol: no registry of ours has the server."""

    @pytest.fixture
    def transit(self) -> Iterator[TransitDouble]:
        with transit_double() as double:
            yield double

    @pytest.fixture
    def provider(self, transit: TransitDouble) -> Iterator[KeyProvider]:
        made = VaultProvider(transit.url, "transit", lambda client: setattr(client, "token", transit.token))
        yield made
        made.close()

    def test_a_token_that_ended_is_replaced(self, provider: KeyProvider, transit: TransitDouble) -> None:
        key_id = provider.create()
        transit.token = "t-2"
        provider.check(key_id)

    def test_a_token_without_rights_and_a_sealed_server_are_told(
        self, provider: KeyProvider, transit: TransitDouble
    ) -> None:
        key_id = provider.create()
        for status, words in ((403, "token"), (503, "unsealed"), (500, "unsealed")):
            transit.refuses_with = status
            with pytest.raises(KeysUnavailable, match=words):
                provider.check(key_id)


def _aws(address: str) -> KeyProvider:
    return AwsKmsProvider("eu-central-1", endpoint=address, timeout_s=0.3)


def _vault(address: str) -> KeyProvider:
    return VaultProvider(address, "transit", lambda client: setattr(client, "token", "t"), timeout_s=0.3)


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("made", [_aws, _vault])
def test_a_provider_out_of_reach_or_slow_is_one_clear_error(made: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert callable(made)
    with silent_server() as slow:
        for address in (slow, "http://127.0.0.1:9"):
            provider = made(address)
            began = datetime.now(UTC)
            with pytest.raises(KeysUnavailable) as raised:
                provider.unwrap("k", b"vault:v1:x", "c")
            assert datetime.now(UTC) - began < timedelta(seconds=10)
            assert isinstance(raised.value, JourneymeshError)
            assert raised.value.todo
            provider.close()
