"""Types of channels, from JSON Schemas and from what a back end has."""

from __future__ import annotations

import sys
import types

import pytest

from openline import InvalidData
from openline.schemas import ChannelType, main, of_module, of_namespaces, python, typescript

pytestmark = pytest.mark.clients

NAMESPACES = """
[namespaces.room]
history_size = 5

[namespaces.ticker.schema]
type = "object"
required = ["symbol", "price"]

[namespaces.ticker.schema.properties]
symbol = { type = "string" }
price = { type = "number" }
at = { type = "object", required = ["x"], properties = { x = { type = "integer" } } }
"""

BACK_END = """
from dataclasses import dataclass

from openline import Typed


@dataclass
class Order:
    total: float
    note: str | None = None


def any_text(data: object) -> str:
    return str(data)


orders = Typed("notify:orders", Order)
words = Typed("room:{id}", any_text)
counts = Typed("live:{id}", dict[str, int])
"""

NODE = {
    "type": "object",
    "required": ["value"],
    "properties": {
        "value": {"type": ["integer", "null"]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
}


def loaded(text):
    """The module that was written."""
    module = types.ModuleType("written_for_a_test")
    sys.modules[module.__name__] = module
    exec(compile(text, "written", "exec", dont_inherit=True), module.__dict__)
    return module


@pytest.fixture(autouse=True)
def _forget():
    yield
    sys.modules.pop("written_for_a_test", None)


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        (True, "unknown"),
        (False, "never"),
        ({"description": "anything"}, "unknown"),
        ({"type": "string", "maxLength": 3}, "string"),
        ({"type": ["integer", "null"]}, "number | null"),
        ({"const": {"a": [1]}}, "{ a: [1] }"),
        ({"enum": ["a", None, True]}, '"a" | null | true'),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}]},
            "string | number",
        ),
        ({"type": "array"}, "Array<unknown>"),
        ({"type": "array", "items": {"type": "boolean"}}, "Array<boolean>"),
        ({"type": "array", "items": False}, "[]"),
        (
            {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
            "[(string)?]",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "null"}},
            "[(string)?, ...Array<null>]",
        ),
        ({"type": "object"}, "{ [name: string]: unknown }"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "{ [name: string]: string }",
        ),
        (
            {"properties": {"a": {"type": "string"}, "b-c": {"type": "null"}}, "required": ["a"]},
            '{ a: string; "b-c"?: null }',
        ),
        (
            {"allOf": [{"properties": {"a": {"type": "string"}}}, {"type": "object"}, True]},
            "({ a?: string }) & ({ [name: string]: unknown })",
        ),
        ({"$ref": "https://example.org/schema"}, "unknown"),
        ({"$ref": "#/$defs/missing"}, "unknown"),
    ],
)
def test_how_a_schema_is_written_in_typescript(schema, written):
    text = typescript([ChannelType("room:{id}", "Room", schema)])
    assert f"export type Room = {written};\n" in text
    assert "  [channel: `room:${string}`]: Room;\n" in text


def test_a_definition_that_names_itself_is_written_once_and_checks_all_the_way_down():
    schema = {"$ref": "#/$defs/node", "$defs": {"node": NODE}}
    channel = ChannelType("notify:tree", "Tree", schema)
    assert (
        "export type TreeNode = { value: number | null; children?: Array<TreeNode> };\n"
        in typescript([channel])
    )
    tree = loaded(python([channel])).TreeChannel
    good = {"value": 1, "children": [{"value": None, "children": []}]}
    assert tree.parse(good) == good
    with pytest.raises(InvalidData, match="value"):
        tree.parse({"value": 1, "children": [{"value": "no"}]})


def test_the_root_may_name_itself():
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    chain = loaded(python([ChannelType("notify:x", "Chain", schema)])).ChainChannel
    assert chain.parse({"next": {"next": {}}}) == {"next": {"next": {}}}
    with pytest.raises(InvalidData):
        chain.parse({"next": {"next": 1}})


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "number"}, [1, 1.5], ["1", None]),
        ({"type": ["string", "null"]}, ["a", None], [1]),
        ({"enum": ["a", 1]}, ["a", 1], ["b", 2]),
        ({"enum": [1.5]}, [1.5], []),
        ({"oneOf": [{"type": "string"}, {"type": "array"}]}, ["a", [1, "b"]], [{}]),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, [[1]], [["a"]]),
        (
            {"type": "object", "additionalProperties": {"type": "boolean"}},
            [{"a": True}],
            [{"a": 1}],
        ),
        (
            {"properties": {"a-b": {"type": "string"}, "class": {}}, "required": ["a-b"]},
            [{"a-b": "x"}, {"a-b": "x", "class": 1}],
            [{}, {"a-b": 1}],
        ),
        ({"properties": {"a": False}}, [{}], [1]),
        (True, [1, "a", None], []),
    ],
)
def test_what_is_written_in_python_takes_what_the_schema_takes(schema, good, bad):
    channel = loaded(python([ChannelType("room:{id}", "Room", schema)])).RoomChannel
    assert channel.name(id="a") == "room:a"
    for data in good:
        assert channel.parse(data) == data
    for data in bad:
        with pytest.raises(InvalidData):
            channel.parse(data)


def test_two_types_of_one_name_are_told_apart():
    inner = {"properties": {"a": {"properties": {"b": {"type": "string"}}}}}
    channels = [
        ChannelType("room:{id}", "Room", inner),
        ChannelType("live:{id}", "Room", {"type": "string"}),
        ChannelType("user:{id}", "RoomA", {"type": "integer"}),
    ]
    written = loaded(python(channels))
    assert written.Room2 is str
    assert written.RoomA2 is int
    assert "[channel: `live:${string}`]: Room2;" in typescript(channels)


def test_only_namespaces_with_a_schema_have_a_type():
    (ticker,) = of_namespaces(NAMESPACES)
    assert (ticker.pattern, ticker.name) == ("ticker:{name}", "Ticker")
    written = loaded(python([ticker]))
    assert written.TickerChannel.parse({"symbol": "a", "price": 1, "at": {"x": 1}})
    with pytest.raises(InvalidData, match=r"at\.x"):
        written.TickerChannel.parse({"symbol": "a", "price": 1, "at": {"x": "1"}})


def test_the_channels_of_a_back_end_are_found_in_its_module():
    text = typescript(of_module(loaded(BACK_END)))
    assert "export type Order = { total: number; note?: string | null };" in text
    assert '  "notify:orders": Order;' in text
    assert "export type AnyText = unknown;" in text
    assert "  [channel: `live:${string}`]: Dict;" in text
    assert "export type Dict = { [name: string]: number };" in text


def test_files_and_modules_are_named_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "namespaces.toml").write_text(NAMESPACES, "utf-8")
    (tmp_path / "written_for_a_test.py").write_text(BACK_END, "utf-8")
    main(["--ts", "namespaces.toml", "written_for_a_test"])
    said = capsys.readouterr().out
    assert "ticker:" in said
    assert "notify:orders" in said


@pytest.mark.parametrize(
    ("content", "right"),
    [('[namespaces."A`b".schema]\ntype = "string"', "namespace"), ("[broken", "Expected")],
)
def test_what_cannot_be_read_is_refused_in_a_line(tmp_path, capsys, content, right):
    path = tmp_path / "n.toml"
    path.write_text(content, "utf-8")
    with pytest.raises(SystemExit):
        main(["--py", str(path)])
    assert right in capsys.readouterr().err
