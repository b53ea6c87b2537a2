"""From a channel's type to what checks its data, and back to plain JSON values.

A pydantic model checks by its own rules. Dataclasses and TypedDicts are checked here, strictly: nothing is converted,
unknown members are ignored, missing ones need a default. Anything else that can be called is a validator: it takes
the plain data and gives the value, or raises ValueError or TypeError.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from openline.errors import InvalidData

T = TypeVar("T")
Validator: TypeAlias = Callable[[Any], T]
_Check: TypeAlias = Callable[[Any, str], Any]


def validator(kind: type[T] | Callable[[Any], T] | None) -> Validator[T]:
    """What turns plain data into a value of `kind`, or raises `InvalidData`. None lets everything pass.

    Raises TypeError when `kind` is neither a type that can be checked nor something to call.
    """
    if kind is None or kind is Any:
        return cast("Validator[T]", _everything)
    for method in ("model_validate", "__pydantic_validator__"):
        found = getattr(kind, method, None)
        if found is not None:
            return _wrapped(getattr(found, "validate_python", found))
    if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or _is_plain(kind):
        check = _check(kind)
        return lambda data: cast("T", check(data, ""))
    if callable(kind):
        return _wrapped(kind)
    raise TypeError(
        f"{kind!r} is no type for a channel; give a pydantic model, a dataclass, a TypedDict or a function"
    )


def to_plain(value: Any) -> Any:
    """`value` as JSON knows it: pydantic models and dataclasses become objects; bytes and the rest stay."""
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    return value


def _everything(data: Any) -> Any:
    return data


def _wrapped(function: Callable[[Any], T]) -> Validator[T]:
    """`function`, whose complaint becomes `InvalidData`."""

    def validate(data: Any) -> T:
        try:
            return function(data)
        except InvalidData:
            raise
        except (ValueError, TypeError) as error:
            raise InvalidData(str(error)) from error

    return validate


def _is_plain(kind: object) -> bool:
    """Whether this is one of JSON's own types, or made of them: `dict`, `list[int]`, `str | None`."""
    return kind in _PLAIN or typing.get_origin(kind) is not None or isinstance(kind, enum.EnumMeta)


_PLAIN: dict[object, tuple[type, ...]] = {
    str: (str,),
    bytes: (bytes,),
    bool: (bool,),
    int: (int,),
    float: (float, int),
    type(None): (type(None),),
    dict: (dict,),
    list: (list,),
}


def _check(kind: Any) -> _Check:
    """What checks data against a type. Members of classes are looked up later: a class may name itself."""
    kind = type(None) if kind is None else kind
    if kind is Any or kind is object or isinstance(kind, TypeVar):
        return lambda data, _: data
    if kind in _PLAIN:
        return _plain(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(cast("type", kind))
    if typing.is_typeddict(kind):
        return _typed_dict(kind)
    if isinstance(kind, enum.EnumMeta):
        return _enum(cast("type[enum.Enum]", kind))
    return _check_generic(kind, typing.get_origin(kind), typing.get_args(kind))


def _check_generic(kind: Any, origin: Any, arguments: tuple[Any, ...]) -> _Check:
    """The same for what has arguments: `list[int]`, `Literal["a"]`, `str | None`."""
    if origin in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final):
        return _check(arguments[0])
    if origin is typing.Literal:
        return _literal(arguments)
    if origin in (typing.Union, types.UnionType):
        return _union(kind, arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(origin, arguments)
    raise TypeError(
        f"{kind!r} cannot be checked here; use a pydantic model, or give a function that checks"
    )


def _refuse(place: str, expected: str, data: Any) -> typing.NoReturn:
    where = f"at {place.lstrip('.')}: " if place else ""
    raise InvalidData(f"{where}expected {expected}, got {type(data).__name__}")


def _plain(kind: Any) -> _Check:
    allowed = _PLAIN[kind]

    def check(data: Any, place: str) -> Any:
        if isinstance(data, allowed) and (kind is bool or not isinstance(data, bool)):
            return data
        return _refuse(place, "null" if kind is type(None) else kind.__name__, data)

    return check


def _enum(kind: type[enum.Enum]) -> _Check:
    def check(data: Any, place: str) -> Any:
        try:
            return kind(data)
        except ValueError:
            return _refuse(place, f"one of {[member.value for member in kind]}", data)

    return check


def _literal(values: tuple[Any, ...]) -> _Check:
    allowed = {(type(value), value) for value in values}

    def check(data: Any, place: str) -> Any:
        if isinstance(data, (str, int, bytes, bool, type(None))) and (type(data), data) in allowed:
            return data
        return _refuse(place, f"one of {list(values)}", data)

    return check


def _union(kind: Any, arguments: tuple[Any, ...]) -> _Check:
    checks = [_check(argument) for argument in arguments]

    def check(data: Any, place: str) -> Any:
        for one in checks:
            try:
                return one(data, place)
            except InvalidData:
                continue
        return _refuse(place, str(kind), data)

    return check


def _mapping(arguments: tuple[Any, ...]) -> _Check:
    check_key, check_value = (_check(argument) for argument in arguments)

    def check(data: Any, place: str) -> Any:
        if not isinstance(data, dict):
            _refuse(place, "an object", data)
        return {
            check_key(key, place): check_value(value, f"{place}.{key}")
            for key, value in data.items()
        }

    return check


def _sequence(origin: type, arguments: tuple[Any, ...]) -> _Check:
    if origin is tuple and arguments[1:] != (...,):
        return _tuple([_check(argument) for argument in arguments])
    check_item = _check(arguments[0])
    build: Callable[[list[Any]], Any] = tuple if origin is tuple else list

    def check(data: Any, place: str) -> Any:
        if not isinstance(data, (list, tuple)):
            _refuse(place, "a list", data)
        return build([check_item(item, f"{place}[{n}]") for n, item in enumerate(data)])

    return check


def _tuple(checks: list[_Check]) -> _Check:
    def check(data: Any, place: str) -> Any:
        if not isinstance(data, (list, tuple)) or len(data) != len(checks):
            _refuse(place, f"a list of {len(checks)}", data)
        return tuple(
            one(item, f"{place}[{n}]")
            for n, (one, item) in enumerate(zip(checks, data, strict=True))
        )

    return check


def _dataclass(kind: type) -> _Check:
    members = _Members(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    needed = frozenset(
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    names = frozenset(field.name for field in fields)

    def check(data: Any, place: str) -> Any:
        if isinstance(data, kind):
            return data
        return kind(**members.check(data, place, needed=needed, names=names))

    return check


def _typed_dict(kind: Any) -> _Check:
    members = _Members(kind)
    names = frozenset(kind.__required_keys__) | frozenset(kind.__optional_keys__)
    needed = functools.cache(lambda: frozenset(filter(_is_needed(kind), names)))

    def check(data: Any, place: str) -> Any:
        checked = members.check(data, place, needed=needed(), names=names)
        return {**data, **checked}

    return check


def _is_needed(kind: Any) -> Callable[[str], bool]:
    """Which members a TypedDict needs: where annotations are text, its own list of them knows no `NotRequired`."""
    hints = typing.get_type_hints(kind, include_extras=True)

    def is_needed(name: str) -> bool:
        said = typing.get_origin(hints[name])
        return said is typing.Required or (
            name in kind.__required_keys__ and said is not typing.NotRequired
        )

    return is_needed


class _Members:
    """The members of an object, whose types are looked up at the first use: a class may name itself."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._checks: dict[str, _Check] | None = None

    def check(
        self, data: Any, place: str, *, needed: frozenset[str], names: frozenset[str]
    ) -> dict[str, Any]:
        if not isinstance(data, dict):
            _refuse(place, f"an object ({self._kind.__name__})", data)
        missing = sorted(needed - data.keys())
        if missing:
            where = f"at {place.lstrip('.')}: " if place else ""
            raise InvalidData(f"{where}{', '.join(missing)} missing ({self._kind.__name__})")
        checks = self._resolved()
        return {
            name: checks[name](value, f"{place}.{name}")
            for name, value in data.items()
            if name in names
        }

    def _resolved(self) -> dict[str, _Check]:
        if self._checks is None:
            hints = typing.get_type_hints(self._kind)
            self._checks = {name: _check(hint) for name, hint in hints.items()}
        return self._checks
