"""From JSON Schemas to the types of channels: TypeScript for `createClient<Channels>`, Python for `Client` and `Typed`.

`python -m openline.schemas --ts namespaces.toml shop.channels > channels.ts` takes namespaces files, whose schemas hold for
all channels of a namespace, and modules, whose `Typed` channels it finds. What a type cannot say (ranges, patterns,
conditions) is left out: the server and `Typed` check it. Modules need pydantic.
"""

from __future__ import annotations

import argparse
import importlib
import json
import keyword
import re
import sys
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from openline.errors import OpenlineError
from openline.grammar import check_channel
from openline.typed import Typed

Schema = Mapping[str, Any] | bool

_MADE = "Made by python -m openline.schemas; make it anew instead of editing it."


@dataclass(frozen=True, slots=True)
class ChannelType:
    """The data of channels. `pattern` is that of `Typed`: `room:{id}`; `name` is the type's."""

    pattern: str
    name: str
    schema: Schema


def of_namespaces(text: str) -> Iterator[ChannelType]:
    """Those of a namespaces file that have a schema. Raises ValueError when it is no TOML, OpenlineError for a name."""
    for name, options in tomllib.loads(text).get("namespaces", {}).items():
        if "schema" in options:
            check_channel(f"{name}:x")
            yield ChannelType(f"{name}:{{name}}", _pascal(name), options["schema"])


def of_module(module: object) -> Iterator[ChannelType]:
    """Its `Typed` channels. Raises TypeError for a type that has no schema, ImportError without pydantic."""
    for value in vars(module).values():
        if isinstance(value, Typed):
            name = getattr(value.kind, "__name__", "") or value.pattern.partition(":")[0]
            yield ChannelType(value.pattern, _pascal(name), _schema(value.kind))


def _schema(kind: Any) -> Schema:
    if not (isinstance(kind, type) or typing.get_origin(kind) or typing.is_typeddict(kind)):
        return True  # a function that checks
    from pydantic import PydanticUserError, TypeAdapter  # noqa: PLC0415 - not everybody has it

    try:
        return TypeAdapter(kind).json_schema()
    except PydanticUserError as error:
        raise TypeError(f"{kind!r} has no JSON Schema: {error}") from None


# ---------------------------------------------------------------------------------------------------------- both languages


class _Language(Protocol):
    """How a language writes types. `declared` are types by name, each behind those that it needs."""

    anything: ClassVar[str]
    nothing: ClassVar[str]
    plain: ClassVar[Mapping[str, str]]
    declared: dict[str, str]

    def free(self, name: str) -> str:
        """The name, with a number behind where another type has it."""
        number, own = 2, name
        while own in self.declared:
            number, own = number + 1, f"{name}{number}"
        return own

    def literal(self, values: Sequence[Any]) -> str:
        """One of these values."""

    def union(self, kinds: Sequence[str]) -> str:
        """One of these types."""

    def both(self, kinds: Sequence[str]) -> str:
        """All of these types at once."""

    def list_of(self, first: Sequence[str], rest: str) -> str:
        """A list that begins so; `rest` is empty when nothing more comes."""

    def map_of(self, kind: str) -> str:
        """An object with any members of this type."""

    def members(self, name: str, members: Mapping[str, tuple[str, bool]]) -> str:
        """An object with these members, each with its type and whether it is required."""

    def declare(self, name: str, kind: str) -> None:
        """A name for a type."""

    def later(self, name: str) -> str:
        """A type that is being declared."""


class _Writer:
    """Writes the schema of one type, its definitions first."""

    def __init__(self, language: _Language, channel: ChannelType) -> None:
        self.name = language.free(channel.name)
        self._language = language
        self._root = channel.schema
        self._done: set[str] = set()
        self._begun: dict[str, str] = {"#": self.name}
        language.declare(self.name, self.kind(channel.schema, self.name))

    def kind(self, schema: Schema, name: str) -> str:
        """The type of a schema; `name` is for members that need a type of their own."""
        language = self._language
        if isinstance(schema, bool):
            return language.anything if schema else language.nothing
        if "$ref" in schema:
            return self._named(schema["$ref"], name)
        if "const" in schema:
            return language.literal([schema["const"]])
        if "enum" in schema:
            return language.literal(schema["enum"])
        found = [
            language.union([self.kind(one, f"{name}{n}") for n, one in enumerate(schema[key], 1)])
            for key in ("anyOf", "oneOf")
            if key in schema
        ]
        found += [self.kind(one, f"{name}{n}") for n, one in enumerate(schema.get("allOf", ()), 1)]
        own = self._of_type(schema, name)
        known = [
            kind for kind in ([] if own is None else [own]) + found if kind != language.anything
        ]
        return language.both(known) if known else language.anything

    def _of_type(self, schema: Mapping[str, Any], name: str) -> str | None:
        kinds = schema.get("type", "object" if "properties" in schema else ())
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        return (
            self._language.union([self._one(kind, schema, name) for kind in kinds])
            if kinds
            else None
        )

    def _one(self, kind: str, schema: Mapping[str, Any], name: str) -> str:
        language = self._language
        if kind == "object":
            return self._object(schema, name)
        if kind == "array":
            first = [
                self.kind(one, f"{name}{n}")
                for n, one in enumerate(schema.get("prefixItems", ()), 1)
            ]
            rest = schema.get("items", True)
            more = rest is not False and not (first and len(first) == schema.get("maxItems"))
            return language.list_of(first, self.kind(rest, f"{name}Item") if more else "")
        return language.plain.get(kind, language.anything)

    def _object(self, schema: Mapping[str, Any], name: str) -> str:
        more = schema.get("additionalProperties", True)
        if not schema.get("properties"):
            return self._language.map_of(self.kind(more, f"{name}Value"))
        required = schema.get("required", ())
        members = {
            key: (self.kind(value, name + _pascal(key)), key in required)
            for key, value in schema["properties"].items()
        }
        return self._language.members(name, members)

    def _named(self, ref: str, name: str) -> str:
        """The name of a definition; references that lead out are anything."""
        if ref in self._begun:
            known = self._begun[ref]
            return known if ref in self._done else self._language.later(known)
        found = _resolve(self._root, ref)
        if found is None:
            return self._language.anything
        own = self._language.free(self.name + _pascal(ref.rpartition("/")[2] or name))
        self._begun[ref] = own
        self._language.declare(own, self.kind(found, own))
        self._done.add(ref)
        return own


def _resolve(root: Schema, ref: str) -> Schema | None:
    if not ref.startswith("#/"):
        return None
    found: Any = root
    for part in ref[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return typing.cast("Schema", found)


def _pascal(text: str) -> str:
    words = re.findall(r"[^\W_]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name.isidentifier() else f"Type{name}"


# ------------------------------------------------------------------------------------------------------------- TypeScript


class _TypeScript(_Language):
    anything = "unknown"
    nothing = "never"
    plain: ClassVar[Mapping[str, str]] = {
        "string": "string",
        "number": "number",
        "integer": "number",
        "boolean": "boolean",
        "null": "null",
    }

    def __init__(self) -> None:
        self.declared = {"Channels": ""}

    def literal(self, values: Sequence[Any]) -> str:
        return " | ".join(_ts_literal(value) for value in values) or self.nothing

    def union(self, kinds: Sequence[str]) -> str:
        return " | ".join(dict.fromkeys(kinds)) or self.nothing

    def both(self, kinds: Sequence[str]) -> str:
        return kinds[0] if len(kinds) == 1 else " & ".join(f"({kind})" for kind in kinds)

    def list_of(self, first: Sequence[str], rest: str) -> str:
        if not first:
            return f"Array<{rest}>" if rest else "[]"
        more = [f"...Array<{rest}>"] if rest else []
        # A list may end early: what a schema says of its places, it says of those that are there.
        return f"[{', '.join([*(f'({kind})?' for kind in first), *more])}]"

    def map_of(self, kind: str) -> str:
        return f"{{ [name: string]: {kind} }}"

    def members(self, name: str, members: Mapping[str, tuple[str, bool]]) -> str:  # noqa: ARG002 - needs none
        written = (
            f"{_ts_name(key)}{'' if required else '?'}: {kind}"
            for key, (kind, required) in members.items()
        )
        return f"{{ {'; '.join(written)} }}"

    def declare(self, name: str, kind: str) -> None:
        self.declared[name] = f"export type {name} = {kind};"

    def later(self, name: str) -> str:
        return name


def _ts_name(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", key) else json.dumps(key)


def _ts_literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {'; '.join(f'{_ts_name(key)}: {_ts_literal(one)}' for key, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_ts_literal, value))}]"
    return json.dumps(value)


def typescript(channels: Iterable[ChannelType]) -> str:
    """A module whose `Channels` is for `createClient<Channels>`."""
    language = _TypeScript()
    members: list[str] = []
    for channel in channels:
        name = _Writer(language, channel).name
        parts = re.sub(r"\{[^}]*\}", "${string}", channel.pattern)
        key = f"[channel: `{parts}`]" if "$" in parts else json.dumps(parts)
        members.append(f"  {key}: {name};")
    body = "\n".join(members)
    return "\n".join(
        [
            f"// {_MADE}",
            *filter(None, language.declared.values()),
            f"export type Channels = {{\n{body}\n}};",
            "",
        ]
    )


# ----------------------------------------------------------------------------------------------------------------- Python


class _Python(_Language):
    anything = "Any"
    nothing = "Any"
    plain: ClassVar[Mapping[str, str]] = {
        "string": "str",
        "number": "float",
        "integer": "int",
        "boolean": "bool",
        "null": "None",
    }

    def __init__(self) -> None:
        self.declared = {"Channels": ""}

    def literal(self, values: Sequence[Any]) -> str:
        if all(isinstance(value, (str, bool, int, type(None))) for value in values) and values:
            return f"Literal[{', '.join(map(repr, values))}]"
        return self.anything

    def union(self, kinds: Sequence[str]) -> str:
        kinds = list(dict.fromkeys(kinds))
        if self.anything in kinds:
            return self.anything
        return kinds[0] if len(kinds) == 1 else f"Union[{', '.join(kinds)}]"

    def both(self, kinds: Sequence[str]) -> str:
        return kinds[0] if len(kinds) == 1 else self.anything

    def list_of(self, first: Sequence[str], rest: str) -> str:
        return (
            f"list[{self.union([*first, *([rest] if rest else [])]) if first or rest else 'Any'}]"
        )

    def map_of(self, kind: str) -> str:
        return f"dict[str, {kind}]"

    def members(self, name: str, members: Mapping[str, tuple[str, bool]]) -> str:
        name = self.free(name)
        fields = {
            key: kind if required else f"NotRequired[{kind}]"
            for key, (kind, required) in members.items()
        }
        if all(key.isidentifier() and not keyword.iskeyword(key) for key in fields):
            body = "".join(f"\n    {key}: {kind}" for key, kind in fields.items())
            self.declared[name] = f"class {name}(TypedDict):{body}\n"
        else:
            body = ", ".join(f"{key!r}: {kind}" for key, kind in fields.items())
            self.declared[name] = f"{name} = TypedDict({name!r}, {{{body}}})\n"
        return name

    def declare(self, name: str, kind: str) -> None:
        if kind != name:
            self.declared[name] = f"{name}: TypeAlias = {kind}\n"

    def later(self, name: str) -> str:
        return repr(name)


def python(channels: Iterable[ChannelType]) -> str:
    """A module with a TypedDict or an alias a type, and a `Typed` a pattern."""
    language = _Python()
    typed: list[str] = []
    for channel in channels:
        name = _Writer(language, channel).name
        typed.append(f"{name}Channel = Typed({channel.pattern!r}, {name})")
    body = "\n".join([*filter(None, language.declared.values()), *typed, ""])
    words = ("Any", "Literal", "NotRequired", "TypeAlias", "TypedDict", "Union")
    names = ", ".join(word for word in words if re.search(rf"\b{word}\b", body))
    head = [
        f'"""{_MADE}"""',
        f"from typing import {names}" if names else "",
        "from openline import Typed",
        body,
    ]
    return "\n\n".join(filter(None, head))


# ------------------------------------------------------------------------------------------------------------ command line


def _read(source: str) -> Iterator[ChannelType]:
    if source.endswith(".toml"):
        return of_namespaces(Path(source).read_text("utf-8"))
    return of_module(importlib.import_module(source))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the types of the sources that are named to standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m openline.schemas", description="Types of channels."
    )
    language = parser.add_mutually_exclusive_group(required=True)
    language.add_argument(
        "--ts", action="store_const", dest="write", const=typescript, help="TypeScript"
    )
    language.add_argument("--py", action="store_const", dest="write", const=python, help="Python")
    parser.add_argument(
        "source", nargs="+", help="a namespaces file (.toml), or a module with Typed channels"
    )
    given = parser.parse_args(arguments)
    sys.path.insert(0, "")
    try:
        text = given.write([channel for source in given.source for channel in _read(source)])
    except (OSError, ValueError, TypeError, ImportError, OpenlineError) as error:
        parser.error(str(error))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
