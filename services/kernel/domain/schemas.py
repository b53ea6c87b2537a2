"""JSON Schemas of namespaces: compiled once, asked at each publication."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema_rs
import msgspec

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.namespaces import Namespace, NamespacesError
from services.kernel.domain.publications import Kind
from services.kernel.domain.wording import cut

MAX_REASON = 300
"""Characters of a refusal's reason: a validator lists names and allowed values, which may be many."""

_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords whose value has a schema for each name."""

_VERBATIM = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose value is data."""

_WITHOUT_CONDITIONS = ("json-schema.org/draft-04/", "json-schema.org/draft-06/")
"""Drafts that do not know `if` and `else`, which refusals are found by."""

_ALTERNATIVES: dict[str, Any] = {"anyOf": False, "oneOf": {"not": {}}}
"""What fails, and by that names the keyword, when the alternatives of a keyword do not fit."""


class Schemas:
    """The data schemas of all namespaces that have one.

    A reference may lead inside its own schema or to a published meta-schema, never to an address: to fetch one would
    be I/O at each publication and a way into the operator's network. Patterns take linear time: look-around and back
    references are refused. Raises NamespacesError for a schema that cannot be used.
    """

    def __init__(self, namespaces: Iterable[Namespace]) -> None:
        self._validators = {
            namespace.name: _compile(namespace.name, namespace.schema)
            for namespace in namespaces
            if namespace.schema is not None
        }

    def check(self, namespace: Namespace, data: bytes, kind: Kind = Kind.JSON) -> None:
        """Raises `invalid_data` with the first reason unless the data, checked already, fits its namespace's schema.

        Bytes inside MessagePack count as the base64 strings that JSON readers get.
        """
        validator = self._validators.get(namespace.name)
        if validator is None:
            return
        if kind is Kind.BINARY:
            raise _refused(f"binary data cannot fit the JSON Schema of {namespace.name}:")
        value = msgspec.json.decode(data if kind is Kind.JSON else _as_json(data))
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            raise _refused(_reason(error)) from None


def _as_json(data: bytes) -> bytes:
    return msgspec.json.encode(msgspec.msgpack.decode(data))


def _reason(error: jsonschema_rs.ValidationError) -> str:
    message = error.message
    if error.schema_path[-1:] == ["else"]:
        message = "fits none of the schemas of anyOf"
    elif error.schema_path[-2:] == ["else", "not"]:
        message = "fits none, or more than one, of the schemas of oneOf"
    return cut(f"{_place(error)}: {message}", MAX_REASON)


def _place(error: jsonschema_rs.ValidationError) -> str:
    """Where the value stands, as a JSONPath (RFC 9535)."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    return "$" + "".join(steps)


def _refused(reason: str) -> OpenlineError:
    return OpenlineError(Code.INVALID_DATA, f"data does not fit its namespace's schema: {reason}")


def _compile(name: str, schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    where = f"namespace {name!r}, option 'schema'"
    text = msgspec.json.encode(schema).decode()
    if any(draft in text for draft in _WITHOUT_CONDITIONS):
        raise NamespacesError(f"{where}: $schema: draft 4 and 6 are too old; use draft 7 or newer")
    try:
        _validator(schema)  # names the places of faults as the file has them
        return _validator(_cheap_to_explain(schema), mask="the value")
    except jsonschema_rs.ValidationError as error:
        raise NamespacesError(cut(f"{where}: {_fault(error)}", MAX_REASON)) from None


def _validator(schema: Mapping[str, Any], mask: str | None = None) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        dict(schema), mask=mask, pattern_options=jsonschema_rs.RegexOptions(), offline=True
    )


def _fault(error: jsonschema_rs.ValidationError) -> str:
    """What is wrong in a schema, and what would be right."""
    message = " ".join(error.message.split())
    if error.kind.name == "$ref":
        return f"$ref: {message}; copy its target into $defs and refer to it there"
    if error.kind.name == "format" and error.instance_path[-1:] == ["pattern"]:
        message += " that takes linear time; write it without look-around and back references"
    return f"{_place(error)}: {message}"


def _cheap_to_explain(schema: Any) -> Any:
    """The same schema, whose alternatives say that none fits without the reasons of each.

    For `anyOf` and `oneOf` the validator gathers every error of every alternative, which a stranger's 64 KB turn into
    half a second and, level by level of nested data, into all memory. A condition is only asked for yes or no.
    """
    if not isinstance(schema, Mapping):
        return schema
    cheap = {key: _keyword(key, value) for key, value in schema.items() if key not in _ALTERNATIVES}
    asked = [
        {"if": {key: [_cheap_to_explain(one) for one in schema[key]]}, "else": failure}
        for key, failure in _ALTERNATIVES.items()
        if key in schema
    ]
    return cheap | {"allOf": [*cheap.get("allOf", ()), *asked]} if asked else cheap


def _keyword(name: str, value: Any) -> Any:
    if name in _VERBATIM:
        return value
    if name in _NAMED:
        return {key: _cheap_to_explain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_cheap_to_explain(one) for one in value]
    return _cheap_to_explain(value)
