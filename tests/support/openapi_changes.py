"""What breaks a client between two OpenAPI documents of one service."""

from __future__ import annotations

from typing import Any

_NARROWER = {"maximum": min, "maxLength": min, "maxItems": min, "minimum": max, "minLength": max, "minItems": max}


def breaking_changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """In words: what is gone (routes, fields, media types, enum values), is required now, or is of another type."""
    found: list[str] = []
    for path, methods in before["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            other = after["paths"].get(path, {}).get(method)
            if other is None:
                found.append(f"{name} is gone")
                continue
            found += _parameters(name, operation, other)
            found += _responses(name, operation, other)
            found += _request_body(name, operation, other)
    taken = _reached(before, "requestBody")
    for name, schema in before["components"]["schemas"].items():
        other = after["components"]["schemas"].get(name)
        if other is None:
            found.append(f"schema {name} is gone")
        else:
            found += _schema(name, schema, other, given=name not in taken)
    return found


def _parameters(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    held = {(each["name"], each["in"]): each for each in before["parameters"]}
    present = {(each["name"], each["in"]): each for each in after["parameters"]}
    found = [f"{name}: parameter {key[0]} is gone" for key in held if key not in present]
    for key, each in present.items():
        if each["required"] and not held.get(key, {"required": False})["required"]:
            found.append(f"{name}: parameter {key[0]} is required now")
        if key in held:
            found += _schema(f"{name}: parameter {key[0]}", held[key]["schema"], each["schema"], given=False)
    return found


def _responses(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = []
    for status, answer in before["responses"].items():
        other = after["responses"].get(status)
        if other is None:
            found.append(f"{name}: status {status} is gone")
            continue
        for media, content in answer.get("content", {}).items():
            present = other.get("content", {}).get(media)
            if present is None:
                found.append(f"{name}: {status} has no {media} any more")
            else:
                found += _schema(f"{name}: {status} {media}", content["schema"], present["schema"], given=True)
    return found


def _request_body(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    held = before.get("requestBody", {}).get("content", {})
    present = after.get("requestBody", {}).get("content", {})
    found = [f"{name}: takes no {media} any more" for media in held if media not in present]
    if "requestBody" in after and "requestBody" not in before:
        found.append(f"{name}: takes a body now")
    return found


def _schema(name: str, before: Any, after: Any, *, given: bool) -> list[str]:
    """``given``: the service gives it; else it takes it."""
    found = [f"{name}: {key} was {before.get(key)}, is {after.get(key)}"
             for key in ("type", "$ref", "format") if before.get(key) != after.get(key)]  # fmt: skip
    gone = [value for value in before.get("enum", ()) if value not in after.get("enum", before["enum"])]
    if gone or ("enum" in after and "enum" not in before and not given):
        found.append(f"{name}: enum values {gone} are gone")
    if not given:
        for key, stricter in _NARROWER.items():
            held, present = before.get(key), after.get(key)
            if present is not None and present != held and (held is None or stricter(held, present) == present):
                found.append(f"{name}: {key} is {present}, was {held}")
        found += [
            f"{name}: {each} is required now"
            for each in after.get("required", ())
            if each not in before.get("required", ())
        ]
    else:
        found += [
            f"{name}: {each} may be absent now"
            for each in before.get("required", ())
            if each not in after.get("required", ())
        ]
    if "pattern" in after and after["pattern"] != before.get("pattern") and not given:
        found.append(f"{name}: another pattern")
    for key, each in before.get("properties", {}).items():
        other = after.get("properties", {}).get(key)
        if other is None:
            found.append(f"{name}: field {key} is gone")
        else:
            found += _schema(f"{name}.{key}", each, other, given=given)
    if "items" in before:
        found += _schema(f"{name}[]", before["items"], after.get("items", {}), given=given)
    for key in ("anyOf", "oneOf"):
        if before.get(key) != after.get(key):
            lost = [each for each in before.get(key, ()) if each not in after.get(key, ())]
            came = [each for each in after.get(key, ()) if each not in before.get(key, ())]
            if (came if given else lost) or not after.get(key):
                found.append(f"{name}: other alternatives")
    return found


def _reached(document: dict[str, Any], part: str) -> set[str]:
    """The schemas that request bodies are made of."""
    names: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                name = reference.rpartition("/")[2]
                if name not in names:
                    names.add(name)
                    walk(document["components"]["schemas"][name])
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    for methods in document["paths"].values():
        for operation in methods.values():
            walk(operation.get(part, {}))
    return names
