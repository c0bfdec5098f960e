"""YAML from anybody is bounded before it is built, and takes nothing from the environment where it is shown."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from journeymesh.cli.main import outcome
from journeymesh.errors import JourneymeshError, UsageError
from journeymesh.governance.contract import SHIPPED_CONTRACT, load_contract
from journeymesh.governance.purposes import SHIPPED_PURPOSES, load_purposes
from journeymesh.yaml_files import MANIFESTS, compose_all_yaml, load_all_yaml, load_yaml, read_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
BOMBS = {
    "aliases": LAUGHS,
    "merged aliases": "a0: &a0 {k0: 1}\n"
    + "".join(f"a{n}: &a{n} {{{', '.join(f'k{m}: *a{n - 1}' for m in range(9))}}}\n" for n in range(1, 12)),
    "itself": "a: &a [*a]\n",
    "nested lists": "a: " + "[" * 20_000 + "]" * 20_000,
    "nested keys": "a: " + "{a: " * 20_000 + "1" + "}" * 20_000,
    "nested by indent": "".join(f"{' ' * n}a:\n" for n in range(400)),
    "long": "a: '" + "x" * (5 * 2**20) + "'",
    "many": "a: [" + "1, " * 250_000 + "1]",
}
NO_VALUES = {
    "a date": "a: 2026-13-45\n",
    "a time": "a: 2026-01-01T99:00:00Z\n",
    "a long number": f"a: {'9' * 5_000}\n",
    "a tag": "a: !!python/object/apply:os.system ['true']\n",
    "a list as a key": "? [a, b]\n: 1\n",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in (BOMBS | NO_VALUES).items()])
def test_what_is_beyond_bounds_or_no_value_is_refused_at_once(text: str) -> None:
    for read in (load_yaml, load_all_yaml):
        tracemalloc.start()
        began = time.process_time()
        with pytest.raises(yaml.YAMLError):
            read(text)
        assert time.process_time() - began < 10
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["aliases", "itself", "nested lists", "nested keys"])
def test_manifests_have_bounds_as_well(name: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_all_yaml(BOMBS[name], bounds=MANIFESTS)
    with pytest.raises(yaml.YAMLError):
        list(compose_all_yaml(BOMBS[name], bounds=MANIFESTS))


def test_what_people_write_is_read() -> None:
    assert load_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}}\n") == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}}
    assert load_yaml("") is None
    assert load_all_yaml("a: 1\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in (BOMBS | NO_VALUES).items()])
@pytest.mark.parametrize(
    "command",
    [
        "mapping check --mapping {0} --source {1}",
        "preprocess --source {1} --policies {0} --store memory://",
        "preprocess --source {1} --rules {0} --store memory://",
        "strangler plan check {0}",
        "access check --access {0}",
        "rules show {0}",
    ],
    ids=lambda command: " ".join(command.split()[:2]),
)
def test_no_command_takes_it_for_a_fault_of_the_program(
    text: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given.yaml"
    given.write_text(text)
    source = tmp_path / "fixes.ndjson"
    source.write_text('{"vehicle": "V", "fixed_at": "2026-03-02T08:00:00Z", "lat_deg": 52.0, "lon_deg": 13.0}\n')
    assert outcome(command.format(given, source).split()) in (2, 3, 4, 5)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "bug" not in told


class _Any(msgspec.Struct):
    a: object = None


def test_variables_come_from_the_environment_where_the_file_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "s3cret")
    given = tmp_path / "given.yaml"
    given.write_text("a: x-${A_SECRET}\n")

    def read(*, variables: bool) -> object:
        return read_yaml(given, _Any, called="f", invalid=UsageError, see="", variables=variables).a

    assert read(variables=True) == "x-s3cret"
    with pytest.raises(UsageError, match=r"\$\{A_SECRET\} is not taken from the environment"):
        read(variables=False)


def _with_a_variable(content: Any) -> Iterator[Any]:
    """The content with the variable at the end of one text or key, for each that it has."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield {(f"{key}${{A_SECRET}}" if key == name else key): held for key, held in content.items()}
            for changed in _with_a_variable(value):
                yield {**content, name: changed}
    elif isinstance(content, list):
        for at, value in enumerate(content):
            for changed in _with_a_variable(value):
                yield [*content[:at], changed, *content[at + 1 :]]
    elif isinstance(content, str):
        yield f"{content}${{A_SECRET}}"


@pytest.mark.parametrize(("shipped", "load"), [(SHIPPED_CONTRACT, load_contract), (SHIPPED_PURPOSES, load_purposes)])
def test_contracts_and_purposes_tell_no_secret_of_the_environment(
    shipped: Path, load: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in the file the variable stands, and be it in a key."""
    monkeypatch.setenv("A_SECRET", "s3cret")
    everywhere = list(_with_a_variable(yaml.safe_load(shipped.read_text("utf-8"))))
    assert len(everywhere) > 20
    given = tmp_path / shipped.name
    for changed in random.Random(1).sample(everywhere, min(60, len(everywhere))):
        given.write_text(json.dumps(changed))  # which is YAML, too
        with pytest.raises(JourneymeshError, match=r"\$\{A_SECRET\} is not taken") as caught:
            load(given)
        assert "s3cret" not in str(caught.value)
