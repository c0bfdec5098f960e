"""What a mapping makes of a sample of its source, field by field, for people and for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from journeymesh.sources.mapping_check import CheckedField, MappingCheck


def as_json(found: MappingCheck) -> str:
    """The check as one JSON object."""
    import msgspec

    told: dict[str, Any] = {"is_usable": found.is_usable, "refused_inputs": sum(found.refused.values())}
    told |= msgspec.to_builtins(found)
    told["fields"] = [_field_row(one) for one in found.fields]
    told["policy_fields"] = [_field_row(one) for one in found.policy_fields]
    return msgspec.json.encode(told).decode()


def _field_row(one: CheckedField) -> dict[str, Any]:
    count = one.count
    first = one.first_unreadable
    return {
        "field": count.name,
        "path": count.path,
        "rows": count.rows,
        "found": count.found,
        "missing": count.missing,
        "unreadable": count.unreadable,
        "types": dict(count.kinds),
        "lowest": count.lowest,
        "highest": count.highest,
        "unit": count.unit,
        "values": list(count.values),
        "first_unreadable": None if first is None else {"origin": first.origin, "detail": first.detail},
    }


def check_lines(found: MappingCheck) -> list[str]:
    """The check for people: the whole, each field, what was refused and the first of each kind."""
    extent = "all" if found.is_whole else "the first"
    refused = sum(found.refused.values())
    lines = [
        f"read            {extent} {found.inputs:,} inputs of {found.source}",
        f"judged by       rules {found.rules}",
        f"usable          {found.usable:,} fixes of {found.vehicles:,} vehicles"
        + (f", {found.first_at} to {found.last_at}" if found.first_at else ""),
        f"duplicates      {found.duplicates:,}",
        f"refused         {refused:,}",
        *([f"unreadable      {found.unreadable:,} fixes used without a value"] if found.unreadable else []),
        *([f"others          {found.others:,} that the mapping's conditions leave out"] if found.others else []),
        f"policies        {found.policies:,}"
        + (f", and {unusable:,} that cannot be used" if (unusable := sum(found.policies_refused.values())) else ""),
        "",
    ]
    for one in (*found.fields, *found.policy_fields):
        lines += _field_lines(one)
    if found.refused or found.doubts or found.policies_refused or found.corrections_unmet:
        lines.append("")
    lines += [f"in doubt: {doubt}" for doubt in found.doubts]
    if unmet := found.corrections_unmet:
        some = ", ".join(unmet[:5]) + (", …" if len(unmet) > 5 else "")
        lines.append(f"in doubt: clock corrections name {len(unmet)} vehicles that are not in these inputs: {some}")
    for reason, count in (*found.refused.items(), *found.policies_refused.items()):
        first = (found.first | found.first_policy_refused)[reason]
        lines.append(f"refused {count:,} by {reason}: first {first.origin}: {first.detail}")
    return lines


def _field_lines(one: CheckedField) -> list[str]:
    count = one.count
    counts = [f"found {count.found:,} of {count.rows:,}"]
    counts += [f"missing {count.missing:,}"] if count.missing else []
    counts += [f"unreadable {count.unreadable:,}"] if count.unreadable else []
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in count.kinds.most_common())
    lines = [f"{count.name:<19} {count.path}", f"  {', '.join(counts)}" + (f" ({kinds})" if kinds else "")]
    if count.values:
        lines.append(f"  such as {', '.join(count.values)}")
    elif count.lowest is not None:
        unit = f" {count.unit}" if count.unit else ""
        lines.append(f"  {_shown(count.lowest)} to {_shown(count.highest)}{unit}")
    if one.first_unreadable is not None:
        lines.append(f"  first unreadable {one.first_unreadable.origin}: {one.first_unreadable.detail}")
    return lines


def _shown(end: float | str | None) -> str:
    return f"{end:.6g}" if isinstance(end, float) else str(end)
