"""Rules: the frozen, versioned thresholds that say what a journey is, what is harsh and how a score is made."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_type_hints

from journeymesh.errors import RulesInvalid

Profile = Literal["always_on", "engine_switched"]

MAX_RELOCATION_FIXES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningRules:
    """What makes a fix impossible."""

    earliest_year: int = 2000
    """A device clock before this year (UTC) is impossible: no recorder is older."""
    future_tolerance_s: float = 300.0
    """How far a device clock may run ahead of the receipt, or of the run where the receipt is not known."""
    max_plausible_speed_mps: float = 70.0
    """252 km/h. Two fixes that imply more contradict each other."""
    position_tolerance_m: float = 30.0
    """Position error granted before the speed between two fixes counts as impossible."""
    relocation_fixes: int = 16
    """So many consecutive fixes that contradict what was before but not each other are believed: the vehicle was
    moved (ferry, transporter) or the former position was wrong. Fewer are a spike."""
    relocation_s: float = 15.0
    """And they last at least this long (or are 256): a burst of a fast recorder is a spike, too."""
    max_delay_days: float = 3653.0
    """A fix received so long after its clock: the clock is wrong (the satellites' week number starts again every
    1024 weeks, 19.6 years). Not applied where the receipt is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementRules:
    """What is movement and what is noise."""

    standstill_speed_mps: float = 1.0
    """Below this a reported speed means standing: receivers at rest report up to about 0.8 m/s."""
    jitter_radius_m: float = 15.0
    """Without a reported speed, positions within this radius of the last counted one are noise."""
    min_step_m: float = 5.0
    """Distance is counted in steps of at least this length, whatever the sampling: shorter ones measure noise and the
    decimals of the coordinates."""
    stop_radius_m: float = 50.0
    """A vehicle that stays within this radius of where it halted has stopped; and a parked vehicle whose position
    drifts within it has not moved."""
    bridged_gap_s: float = 15.0
    """A gap between two fixes longer than this, inside a journey, is counted as bridged (tunnel, lost reception)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorRules:
    """From when a reported value is not believed. A number of 0 leaves its check out."""

    max_accuracy_m: float = 100.0
    """A position that may be further off by the recorder's own word, or is marked invalid, is refused."""
    speed_ratio: float = 1.3
    """Where the reported speed says that a journey so far is so many times longer or shorter than its positions do, or
    that a vehicle stands which gets away, speed is taken from positions. 0: it is believed whatever they say."""
    stuck_s: float = 60.0
    """A reported speed repeated for so long, to the last digit and at one position, is not believed."""
    borne_out_share: float = 0.5
    """So much of a harsh change of speed or heading must the next sample keep, and the way between them must allow it.
    0: one sample is enough."""
    ignition_doubt_m: float = 50.0
    """engine_switched: a vehicle that gets so far with an ignition that has been off since the last silence drives."""

    def __post_init__(self) -> None:
        if 0.0 < self.speed_ratio < 1.0:
            raise RulesInvalid(f"rules: sensors.speed_ratio is {self.speed_ratio}", todo="give 1 or more, or 0")
        if self.borne_out_share > 1.0:
            raise RulesInvalid(f"rules: sensors.borne_out_share is {self.borne_out_share}", todo="give 0 to 1")


ALL_BELIEVED = SensorRules(max_accuracy_m=0.0, speed_ratio=0.0, stuck_s=0.0, borne_out_share=0.0, ignition_doubt_m=0.0)
"""As it was before 2026.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarshRules:
    """When a braking, an acceleration or a cornering is harsh. Thresholds in m/s²; (low, medium, high)."""

    braking_mps2: tuple[float, float, float] = (3.0, 4.0, 5.0)
    acceleration_mps2: tuple[float, float, float] = (2.5, 3.5, 4.5)
    cornering_mps2: tuple[float, float, float] = (3.5, 4.5, 5.5)
    min_duration_s: float = 0.5
    """An event shorter than this is a knock. A fix stands for the time since the one before, at most
    ``max_sample_s``."""
    min_sample_s: float = 0.9
    """Speed and heading over a shorter interval measure the rounding of the speed, not the brake."""
    max_sample_s: float = 2.0
    """Speed and heading over a longer interval do not say how hard the brake was."""
    max_derived_mps2: float = 12.0
    """No tyre does more: a change of speed or heading that implies it is a wrong value, not an event."""
    hysteresis: float = 0.15
    """An event goes on until its value falls this share below the low threshold."""
    merge_s: float = 3.0
    """Events of one kind no further apart than this are one. 0: each run of fixes over the threshold is one."""
    min_speed_mps: float = 3.0
    """Below this speed (before or after) nothing is harsh: kerbs, doors, car washes. Not applied where no speed is
    reported."""
    cornering_min_speed_mps: float = 5.0
    """Below this speed a heading is noise: cornering from speed and heading needs more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightRules:
    """Night in the policy's local time, whole hours; ``[from_hour, to_hour)``, over midnight where from > to."""

    from_hour: int = 23
    to_hour: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedingRules:
    """When driving is speeding."""

    over_posted_limit_mps: float = 2.5
    """Tolerance over the fix's own speed limit (9 km/h)."""
    absolute_limit_mps: float = 36.2
    """Where a fix has no speed limit: 130 km/h."""
    min_duration_s: float = 3.0
    merge_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePart:
    """A part of the score: 100 at ``best`` or below, 0 at ``worst`` or above, linear between; weighted."""

    best: float
    worst: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRules:
    """The transparent score 0–100: the weighted mean of its parts."""

    harsh_events_per_100km: ScorePart = field(default_factory=lambda: ScorePart(best=0.0, worst=40.0, weight=0.4))
    speeding_share: ScorePart = field(default_factory=lambda: ScorePart(best=0.0, worst=0.2, weight=0.3))
    night_share: ScorePart = field(default_factory=lambda: ScorePart(best=0.0, worst=0.4, weight=0.2))
    mileage_ratio: ScorePart = field(default_factory=lambda: ScorePart(best=1.0, worst=2.0, weight=0.1))


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRules:
    """Which numbers of a policy are named as moved from one period to the next.

    A change is held against the former value, or against a floor where that is lower: from next to nothing to little is
    no large change. Floors are a tenth to a fifth of what an ordinary policy has. Fewer than seven days observed lack a
    day of the week, and changes below a tenth are those of any two months.
    """

    distance_m_per_day: float = 4_000.0
    journeys_per_day: float = 0.5
    night_share: float = 0.05
    speeding_share: float = 0.02
    harsh_events_per_100km: float = 2.0
    score: float = 20.0
    least_change: float = 0.1
    least_observed_days: float = 7.0
    most_named: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyRules:
    """What separates one journey from the next and what is harsh. Results compare only within one ``version``.

    - ``always_on``: the recorder reports whether the vehicle drives or not; a journey ends when the vehicle has
      stayed within ``movement.stop_radius_m`` for ``min_stop_s``, or at a silence longer than ``max_silence_s``.
    - ``engine_switched``: the recorder reports only while the engine is on; a journey ends at ignition off, or at a
      silence longer than ``max_silence_s``. Standing with the engine on is idling.

    Numbers follow from physics: an always-on recorder loses the sky in tunnels and garages for minutes, and a car
    halted for five minutes has parked; an engine-switched recorder is silent as soon as the engine is off, so a
    silence of 100 s already separates two drives, while lost reception inside one rarely lasts as long.
    """

    version: str
    profile: Profile
    max_silence_s: float
    min_stop_s: float = 300.0
    min_distance_m: float = 60.0
    min_duration_s: float = 20.0
    min_extent_m: float = 40.0
    """The furthest a journey gets from where it began; less is a parked car whose position wanders."""
    cleaning: CleaningRules = field(default_factory=CleaningRules)
    movement: MovementRules = field(default_factory=MovementRules)
    sensors: SensorRules = field(default_factory=SensorRules)
    harsh: HarshRules = field(default_factory=HarshRules)
    night: NightRules = field(default_factory=NightRules)
    speeding: SpeedingRules = field(default_factory=SpeedingRules)
    score: ScoreRules = field(default_factory=ScoreRules)

    def __post_init__(self) -> None:
        for name, value in _numbers(self):
            if not 0 <= value < math.inf:
                raise RulesInvalid(f"rules {self.version}: {name} is {value}", todo="give a number of 0 or more")
        if not self.version:
            raise RulesInvalid("rules have no version", todo="give one: results compare only within a version")
        if self.max_silence_s <= 0:
            raise RulesInvalid(f"rules {self.version}: max_silence_s is 0", todo="give the silence that ends a journey")
        if not 60 <= self.min_stop_s <= 3600 and self.profile == "always_on":
            raise RulesInvalid(f"rules {self.version}: min_stop_s is {self.min_stop_s}", todo="give 60 to 3600 seconds")
        if not 1970 <= self.cleaning.earliest_year <= 2100:
            raise RulesInvalid(f"rules {self.version}: earliest_year", todo="give a year from 1970 to 2100")
        if self.max_silence_s > 86_400:
            raise RulesInvalid(
                f"rules {self.version}: max_silence_s is {self.max_silence_s}", todo="give a day or less"
            )
        if not any(
            getattr(self.score, part.name).weight for part in fields(self.score) if part.name != "mileage_ratio"
        ):
            raise RulesInvalid(f"rules {self.version}: score has no weights", todo="give a part other than mileage one")
        for hour in (self.night.from_hour, self.night.to_hour):
            if hour > 24:
                raise RulesInvalid(f"rules {self.version}: night hour {hour}", todo="give whole hours from 0 to 24")
        if not 1 <= self.cleaning.relocation_fixes <= MAX_RELOCATION_FIXES:
            raise RulesInvalid(f"rules {self.version}: relocation_fixes", todo=f"give 1 to {MAX_RELOCATION_FIXES}")
        for kind in ("braking", "acceleration", "cornering"):
            low, medium, high = getattr(self.harsh, f"{kind}_mps2")
            if not 0 < low <= medium <= high:
                raise RulesInvalid(f"rules {self.version}: harsh.{kind}_mps2", todo="give rising low, medium, high")

    @property
    def digest(self) -> str:
        """A digest of every number: two rules with one version and different digests are a mistake."""
        numbers = asdict(self)
        if self.sensors == ALL_BELIEVED:  # the digest that such rules had before there was anything to doubt
            del numbers["sensors"]
        return hashlib.blake2b(json.dumps(numbers, sort_keys=True).encode(), digest_size=16).hexdigest()


def rules_from_mapping(document: Mapping[str, Any]) -> JourneyRules:
    """Rules from a parsed YAML or JSON document. Left-out numbers take the value of ``base``, a version that ships;
    without it that of the profile's newest.

    Raises:
        RulesInvalid: naming the path of the first wrong key or value.
    """
    profile = document.get("profile")
    if profile not in get_args(Profile):
        raise RulesInvalid(f"rules: profile is {profile!r}", todo=f"use one of {', '.join(get_args(Profile))}")
    document, base = dict(document), document.get("base")
    document.pop("base", None)
    start = ALWAYS_ON if profile == "always_on" else ENGINE_SWITCHED
    if base is not None:
        if base not in VERSIONS or VERSIONS[base].profile != profile:
            known = ", ".join(version for version, rules in VERSIONS.items() if rules.profile == profile)
            raise RulesInvalid(f"rules: base is {base!r}", todo=f"use one of {known}")
        start = VERSIONS[base]
    if "version" not in document:
        raise RulesInvalid("rules: version is missing", todo="give one: results compare only within a version")
    merged: JourneyRules = _merge(start, document, "rules")
    return merged


def _merge(start: Any, document: object, path: str) -> Any:
    if not isinstance(document, Mapping):
        raise RulesInvalid(f"{path}: expected keys and values, found {document!r}", todo="see docs/reference/rules")
    hints = get_type_hints(type(start))
    if unknown := sorted(set(map(str, document)) - set(hints)):
        raise RulesInvalid(f"{path}: unknown key {unknown[0]!r}", todo=f"known here: {', '.join(sorted(hints))}")
    values = {f.name: getattr(start, f.name) for f in fields(start)}
    for name, given in document.items():
        values[name] = _value(values[name], given, f"{path}.{name}")
    return type(start)(**values)


def _value(current: Any, given: object, path: str) -> Any:
    if is_dataclass(current):
        return _merge(current, given, path)
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if isinstance(current, str) and isinstance(given, str):
        return given
    if isinstance(current, tuple) and isinstance(given, list | tuple) and len(given) == len(current):
        return tuple(_value(c, g, f"{path}[{i}]") for i, (c, g) in enumerate(zip(current, given, strict=True)))
    if isinstance(current, float) and number:
        return float(given)  # type: ignore[arg-type]
    if isinstance(current, int) and isinstance(given, int) and number:
        return given
    kind = {float: "a number", int: "a whole number", str: "a text", tuple: "three numbers"}[type(current)]
    raise RulesInvalid(f"{path}: expected {kind}, found {given!r}", todo="correct the rules file")


def _numbers(rules: Any, path: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for f in fields(rules):
        value = getattr(rules, f.name)
        if is_dataclass(value):
            found += _numbers(value, f"{path}{f.name}.")
        elif isinstance(value, tuple):
            found += [(f"{path}{f.name}", float(number)) for number in value]
        elif isinstance(value, int | float):
            found.append((f"{path}{f.name}", float(value)))
    return found


ALWAYS_ON = JourneyRules(version="always-on-2026.2", profile="always_on", max_silence_s=300.0)
ENGINE_SWITCHED = JourneyRules(version="engine-switched-2026.2", profile="engine_switched", max_silence_s=100.0)
ALWAYS_ON_2026_1 = replace(ALWAYS_ON, version="always-on-2026.1", sensors=ALL_BELIEVED)
ENGINE_SWITCHED_2026_1 = replace(ENGINE_SWITCHED, version="engine-switched-2026.1", sensors=ALL_BELIEVED)
BUILT_IN = {"always-on": ALWAYS_ON, "engine-switched": ENGINE_SWITCHED}
"""The newest rules that ship, by the name that ``--rules`` takes."""
VERSIONS = {rules.version: rules for rules in (ALWAYS_ON, ENGINE_SWITCHED, ALWAYS_ON_2026_1, ENGINE_SWITCHED_2026_1)}
"""Every version that ships; ``--rules`` takes them, too. An earlier one makes the journeys that it made."""
