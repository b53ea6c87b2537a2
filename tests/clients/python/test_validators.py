"""From a channel's type to what checks its data, and back to plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openline.errors import InvalidData
from openline.validators import to_plain, validator

pytestmark = pytest.mark.clients


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Item:
    name: str
    amount: int = 1
    price: float | None = None


@dataclass
class Order:
    id: int
    items: list[Item] = field(default_factory=list)
    colour: Colour | None = None
    kind: Literal["new", "old"] = "new"
    parent: Order | None = None
    at: tuple[float, float] | None = None
    tags: dict[str, str] = field(default_factory=dict)


class Note(TypedDict):
    text: str
    stars: NotRequired[Annotated[int, "0 to 5"]]


class Model(pydantic.BaseModel):
    text: str


def test_without_a_type_everything_passes():
    data = {"any": [1, None]}
    assert validator(None)(data) is data


def test_a_dataclass_is_built_with_all_inside():
    data = {
        "id": 1,
        "items": [{"name": "a", "amount": 2, "price": 3}],
        "colour": "red",
        "kind": "old",
        "parent": {"id": 0},
        "at": [1.5, 2],
        "tags": {"a": "b"},
        "unknown": "left alone",
    }
    order = validator(Order)(data)
    assert order == Order(1, [Item("a", 2, 3)], Colour.RED, "old", Order(0), (1.5, 2), {"a": "b"})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "id missing (Order)"),
        ({"id": True}, "at id: expected int, got bool"),
        ({"id": 1, "items": {}}, "at items: expected a list, got dict"),
        ({"id": 1, "items": [{"name": "a"}, {}]}, "at items[1]: name missing (Item)"),
        ({"id": 1, "items": [{"name": 5}]}, "at items[0].name: expected str, got int"),
        ({"id": 1, "colour": "blue"}, "at colour: expected "),
        ({"id": 1, "kind": "odd"}, "at kind: expected one of ['new', 'old'], got str"),
        ({"id": 1, "at": [1.0]}, "at at: expected "),
        ({"id": 1, "tags": {"a": 1}}, "at tags.a: expected str, got int"),
        ([], "expected an object (Order), got list"),
        (None, "expected an object (Order), got NoneType"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(data, says):
    with pytest.raises(InvalidData) as refused:
        validator(Order)(data)
    assert says in str(refused.value)


def test_a_typed_dict_stays_a_dict_with_what_it_does_not_know():
    data = {"text": "a", "stars": 3, "more": None}
    assert validator(Note)(data) == data
    with pytest.raises(InvalidData, match="text missing"):
        validator(Note)({"stars": 3})
    with pytest.raises(InvalidData, match="at stars: expected int"):
        validator(Note)({"text": "", "stars": "5"})


def test_a_pydantic_model_checks_by_its_own_rules():
    assert validator(Model)({"text": "a"}) == Model(text="a")
    with pytest.raises(InvalidData, match="text"):
        validator(Model)({})


def test_a_function_gives_the_value_or_refuses():
    assert validator(int)(3) == 3
    upper: Any = validator(lambda data: data["text"].upper())
    assert upper({"text": "a"}) == "A"

    def never(data):
        raise ValueError("not like that")

    with pytest.raises(InvalidData, match="not like that"):
        validator(never)(1)


@pytest.mark.parametrize("kind", [dict[str, int], list[int], str | None, Literal["a"]])
def test_types_of_json_can_be_named_directly(kind):
    right: Any = {"a": 1} if kind == dict[str, int] else [1] if kind == list[int] else "a"
    assert validator(kind)(right) == right
    with pytest.raises(InvalidData):
        validator(kind)(4.5)


def test_what_is_no_type_is_refused_when_the_channel_is_made():
    with pytest.raises(TypeError, match="no type for a channel"):
        validator(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be checked"):
        validator(list[complex])


def test_values_become_plain():
    order = Order(1, [Item("a")], Colour.RED, at=(1.0, 2.0))
    plain = to_plain(order)
    assert plain["items"] == [{"name": "a", "amount": 1, "price": None}]
    assert (plain["colour"], plain["at"]) == ("red", [1.0, 2.0])
    assert to_plain({"m": Model(text="a"), "b": b"x"}) == {"m": {"text": "a"}, "b": b"x"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(json_values)
def test_any_data_is_taken_or_refused_and_nothing_else(data):
    try:
        order = validator(Order)(data)
    except InvalidData:
        return
    assert validator(Order)(to_plain(order)) == order


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Order,
        st.integers(),
        st.lists(
            st.builds(Item, st.text(), st.integers(), st.none() | st.floats(0, 9)), max_size=3
        ),
        st.none() | st.just(Colour.RED),
        st.sampled_from(["new", "old"]),
    )
)
def test_a_value_survives_the_way_through_plain_data(order):
    assert validator(Order)(to_plain(order)) == order


class Sketch(TypedDict, total=False):
    title: Required[str]
    lines: int


def test_members_of_a_typed_dict_that_are_not_required_may_be_missing_where_annotations_are_text():
    assert validator(Note)({"text": "a"}) == {"text": "a"}
    assert validator(Sketch)({"title": "a"}) == {"title": "a"}
    with pytest.raises(InvalidData, match="title missing"):
        validator(Sketch)({"lines": 1})
    with pytest.raises(InvalidData, match="text missing"):
        validator(Note)({})


def test_any_takes_everything():
    assert validator(Any)({"a": 1}) == {"a": 1}
