"""JSON Schemas of namespaces: compiled once, asked at each publication."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.namespaces import Namespace, NamespacesError
from services.kernel.domain.publications import Kind

MAX_REASON = 300
"""Characters of a refusal's reason: a validator quotes the value, which may be long."""


class Schemas:
    """The data schemas of all namespaces that have one.

    A reference may lead inside its own schema or to a published meta-schema, never to an address: to fetch one would
    be I/O at each publication and a way into the operator's network. Raises NamespacesError for a schema that cannot
    be used.
    """

    def __init__(self, namespaces: Iterable[Namespace]) -> None:
        self._validators = {
            namespace.name: _compile(namespace.name, namespace.schema)
            for namespace in namespaces
            if namespace.schema is not None
        }

    def check(self, namespace: Namespace, data: bytes, kind: Kind = Kind.JSON) -> None:
        """Raises `invalid_data` with the reason unless the data, checked already, fits its namespace's schema.

        Bytes inside MessagePack count as the base64 strings that JSON readers get.
        """
        validator = self._validators.get(namespace.name)
        if validator is None:
            return
        if kind is Kind.BINARY:
            raise _refused(f"binary data cannot fit the JSON Schema of {namespace.name}:")
        value = msgspec.json.decode(data if kind is Kind.JSON else _as_json(data))
        try:
            error = best_match(validator.iter_errors(value))
        except RecursionError:
            # A schema that refers to itself costs several Python frames a level of the data.
            raise _refused(f"nested too deep for the JSON Schema of {namespace.name}:") from None
        if error is not None:
            raise _refused(_reason(error))


def _as_json(data: bytes) -> bytes:
    return msgspec.json.encode(msgspec.msgpack.decode(data))


def _reason(error: ValidationError) -> str:
    return f"{error.json_path}: {error.message}"[:MAX_REASON]


def _refused(reason: str) -> OpenlineError:
    return OpenlineError(Code.INVALID_DATA, f"data does not fit its namespace's schema: {reason}")


def _compile(name: str, schema: Mapping[str, Any]) -> Validator:
    where = f"namespace {name!r}, option 'schema'"
    cls = validator_for(schema, default=Draft202012Validator)
    try:
        cls.check_schema(dict(schema))
    except SchemaError as error:
        raise NamespacesError(f"{where}: {error.json_path}: {error.message}"[:MAX_REASON]) from None
    root = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = REGISTRY.resolver_with_root(root)
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            raise NamespacesError(
                f"{where}: $ref {reference!r} leads nowhere inside the schema; copy its target into $defs"
            ) from None
    return cls(schema, registry=REGISTRY)


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
