from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np
import pytest

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.text import TextSource


def sentence(body: str) -> str:
    return f"${body}*{reduce(xor, body.encode(), 0):02X}"


def rmc(clock: str = "120000.00", status: str = "A", day: str = "060524", lat: str = "5230.0000,N") -> str:
    return sentence(f"GPRMC,{clock},{status},{lat},00515.0000,W,10.0,90.0,{day},,,A")


def gga(clock: str = "120000.00", hdop: str = "1.2", quality: str = "1") -> str:
    return sentence(f"GNGGA,{clock},5230.0000,N,00515.0000,W,{quality},8,{hdop},12.0,M,45.0,M,,")


def read(place: Path, lines: list[str]) -> tuple[Fixes, list[Refusal], str]:
    place.write_text("\r\n".join(lines) + "\r\n")
    source = TextSource(str(place))
    batches = list(source.batches())
    fixes = [batch.fixes for batch in batches if len(batch.fixes)]
    (item,) = source.items()
    return (
        Fixes.concat(fixes) if fixes else Fixes.empty(),
        [one for batch in batches for one in batch.refusals],
        item.reason,
    )


def test_sentences_of_one_instant_become_one_fix_in_si(tmp_path: Path) -> None:
    fixes, refusals, _ = read(tmp_path / "van-7.nmea", [gga(), rmc(), sentence("GPGSV,1,1,00"), rmc("120001.50")])
    assert refusals == []
    assert [fixes.vehicles[code] for code in fixes.vehicle] == ["van-7", "van-7"]
    assert fixes.fixed_at_us.tolist() == [1_714_996_800_000_000, 1_714_996_801_500_000]
    assert (fixes.lat_deg[0], fixes.lon_deg[0]) == (52.5, -5.25)
    assert fixes.speed_mps is not None
    assert fixes.heading_deg is not None
    assert fixes.accuracy_m is not None
    assert round(fixes.speed_mps[0], 6) == round(10 * 1852 / 3600, 6)
    assert fixes.heading_deg[0] == 90.0
    assert fixes.accuracy_m[0] == 1.2 * 5.0
    assert np.isnan(fixes.accuracy_m[1])


@pytest.mark.parametrize("order", [[rmc(), gga()], [gga(), rmc()]])
def test_the_order_of_an_instants_sentences_changes_nothing(tmp_path: Path, order: list[str]) -> None:
    fixes, _, _ = read(tmp_path / "f.nmea", order)
    assert fixes.accuracy_m is not None
    assert fixes.accuracy_m.tolist() == [6.0]


def test_a_sentence_whose_checksum_is_wrong_is_refused_with_its_line(tmp_path: Path) -> None:
    wrong = rmc("120001.00").replace("10.0", "99.0")
    fixes, refusals, _ = read(tmp_path / "f.nmea", [rmc(), wrong, rmc("120002.00")])
    assert len(fixes) == 2
    assert [(one.origin, one.reason) for one in refusals] == [("f.nmea:2", "document_corrupt")]
    assert "checksum" in refusals[0].detail


@pytest.mark.parametrize("lines", [[rmc(status="V")], [rmc(), gga(quality="0")], [gga(quality="0"), rmc()]])
def test_a_position_that_the_receiver_holds_for_invalid_is_worth_nothing(tmp_path: Path, lines: list[str]) -> None:
    fixes, _, _ = read(tmp_path / "f.nmea", lines)
    assert fixes.accuracy_m is not None
    assert np.isposinf(fixes.accuracy_m).tolist() == [True]


def test_the_day_of_what_comes_before_the_first_date_and_after_midnight_is_known(tmp_path: Path) -> None:
    lines = [gga("235958.00"), rmc("235959.00", day="060524"), gga("000000.00"), rmc("000001.00", day="070524")]
    fixes, refusals, _ = read(tmp_path / "f.nmea", lines)
    assert refusals == []
    assert np.diff(fixes.fixed_at_us).tolist() == [1_000_000] * 3


def test_a_log_without_any_day_is_refused_not_guessed(tmp_path: Path) -> None:
    fixes, refusals, _ = read(tmp_path / "f.nmea", [gga("120000.00"), gga("120001.00")])
    assert len(fixes) == 0
    assert [one.reason for one in refusals] == ["clock_missing", "clock_missing"]


def test_a_text_file_is_known_by_its_sentences_and_text_before_them_is_passed_over(tmp_path: Path) -> None:
    fixes, _, told = read(tmp_path / "log.txt", ["logger 1.0", "12:00:00 " + rmc(), "12:00:01 " + rmc("120001.00")])
    assert len(fixes) == 2
    assert told == "1 lines that are no sentences"


@pytest.mark.parametrize(
    "body", ["GPRMC,1200x0,A,,,,,,,,,", "GPRMC,120000,A,5299.0,N,1.0,E,1,1,060524,,,A", "GPRMC,12"]
)
def test_a_sentence_that_cannot_be_read_is_refused(tmp_path: Path, body: str) -> None:
    _, refusals, _ = read(tmp_path / "f.nmea", [rmc(), sentence(body)])
    assert [one.origin for one in refusals] == ["f.nmea:2"]
