from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from journeymesh.delivery.certificates import validity
from journeymesh.delivery.needed_secrets import gateway_hosts
from journeymesh.delivery.secret_values import password, self_signed, signing_key_after
from journeymesh.errors import UsageError


def _handshake(values: dict[str, str], name: str, folder: Path) -> None:
    """A client that trusts the certificate alone greets a server that has its key; raises where it is not content."""
    for key, value in values.items():
        (folder / key).write_text(value)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    client_side = ssl.create_default_context(cafile=str(folder / "tls.crt"))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [client, server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            return
    raise AssertionError("the handshake did not end")


@pytest.mark.parametrize("name", ["gatewayapi", "gatewayapi.dev.svc", "localhost", "127.0.0.1", "journeys.example"])
def test_a_client_that_trusts_the_certificate_reaches_the_gateway_by_each_of_its_names(
    name: str, tmp_path: Path
) -> None:
    _handshake(self_signed(("journeys.example", *gateway_hosts("dev"))), name, tmp_path)


def test_another_name_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(self_signed(gateway_hosts("dev")), "gatewayapi.prod.svc", tmp_path)


def test_a_certificate_holds_for_about_a_year() -> None:
    holds = validity(self_signed(("gatewayapi",)))
    assert holds is not None
    left = holds.ends - datetime.now(UTC)
    assert timedelta(days=390) < left < timedelta(days=398)


def test_what_is_no_key_is_told_without_showing_it() -> None:
    with pytest.raises(UsageError, match="the previous key is not PEM") as told:
        signing_key_after("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n")
    assert "hunter2" not in str(told.value)


def test_a_password_is_letters_and_digits_alone_so_that_no_program_takes_it_for_an_option() -> None:
    made = {password() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(len(each) == 43 and each.isascii() and each.isalnum() for each in made)
