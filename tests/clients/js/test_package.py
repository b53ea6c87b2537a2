"""The package as users have it: packed, installed into a folder of its own, with nothing of this repository beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openline.schemas import ChannelType, typescript
from tests.support.node import run
from tests.support.packed import install, tool

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed."""
    return install(tmp_path_factory.mktemp("sources") / "js", tmp_path_factory.mktemp("app"))


def test_it_holds_what_it_exports_and_needs_nothing(app):
    package = app / "node_modules/@openline/client"
    manifest = json.loads((package / "package.json").read_text("utf-8"))
    assert "dependencies" not in manifest
    for entry in manifest["exports"].values():
        for path in [entry] if isinstance(entry, str) else entry.values():
            assert (package / path).is_file()
    for source_map in package.glob("dist/*.map"):
        for source in json.loads(source_map.read_text("utf-8"))["sources"]:
            assert (source_map.parent / source).is_file()
    assert {path.name for path in package.iterdir()} == {
        "LICENSE",
        "README.md",
        "dist",
        "package.json",
        "src",
    }


def test_a_program_in_typescript_compiles_against_it_and_runs(app):
    (app / "program.ts").write_text(PROGRAM, "utf-8")
    options = (
        "--ignoreConfig --strict --module nodenext --target es2022 --outDir built --types node"
    )
    libraries = ("--lib", "es2022,dom", "--jsx", "react-jsx")
    tool("tsc", *options.split(), *libraries, "program.ts", folder=app)
    assert run("node", "built/program.js", folder=app) == "heard hello\npublished 2\n"


def test_channels_that_were_written_from_schemas_are_its_types(app):
    channels = [
        ChannelType("ticker:{name}", "Ticker", TICKER),
        ChannelType("notify:tree", "Tree", {"$ref": "#/$defs/node", "$defs": {"node": NODE}}),
    ]
    (app / "channels.ts").write_text(typescript(channels), "utf-8")
    (app / "typed.ts").write_text(TYPED, "utf-8")
    options = "--ignoreConfig --strict --module nodenext --target es2022 --noEmit --types node"
    tool("tsc", *options.split(), "--lib", "es2022,dom", "typed.ts", folder=app)


TICKER = {
    "type": "object",
    "required": ["symbol", "price"],
    "properties": {
        "symbol": {"type": "string"},
        "price": {"type": ["number", "null"]},
        "odd-name": {"enum": ["a", 1]},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
    },
}
NODE = {
    "type": "object",
    "required": ["value"],
    "properties": {
        "value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
}
TYPED = """
import { createClient } from "@openline/client";
import type { Channels } from "./channels.js";

const client = createClient<Channels>({ url: "http://127.0.0.1:9" });
client.channel("ticker:acme").publish({ symbol: "ACME", price: null, "odd-name": 1, pair: ["a", 1] });
client.channel("notify:tree").publish({ value: 1, children: [{ value: 2 }] });
client.channel("ticker:acme").subscribe(({ data }) => data.symbol.toUpperCase());
// @ts-expect-error a price is missing
client.channel("ticker:acme").publish({ symbol: "ACME" });
// @ts-expect-error a child needs a number
client.channel("notify:tree").publish({ value: 1, children: [{ value: "2" }] });
// @ts-expect-error no such channel
client.channel("room:lobby");
"""


def test_it_can_be_required(app):
    program = (
        'const { createClient } = require("@openline/client"); console.log(createClient().state)'
    )
    assert run("node", "--input-type=commonjs", "-e", program, folder=app) == "idle\n"


def test_a_page_in_react_is_built_from_it_and_rendered_on_a_server(app):
    (app / "page.tsx").write_text(PAGE, "utf-8")
    options = "--bundle --minify --format=esm --jsx=automatic --platform=node --external:react-dom --external:react"
    tool("esbuild", "page.tsx", "--outfile=page.js", *options.split(), folder=app)
    assert run("node", "page.js", folder=app) == "<p>idle 0 0</p>\n"


def test_a_page_that_uses_the_hooks_alone_does_not_carry_the_rest(app):
    (app / "hooks.js").write_text('export { useChannel } from "@openline/client/react"', "utf-8")
    options = "--bundle --minify --format=esm --external:react"
    tool("esbuild", "hooks.js", "--outfile=out.js", *options.split(), folder=app)
    assert (app / "out.js").stat().st_size < 4_000


PROGRAM = """
import { createClient, OpenlineError } from "@openline/client";
import { createTestClient } from "@openline/client/testing";
import { msgpack } from "@openline/client/msgpack";
import { stream } from "@openline/client/fallback";
import { useChannel } from "@openline/client/react";

type Chat = { text: string };
type Ours = { [room: `room:${string}`]: Chat };
const real = createClient<Ours>({ url: "http://127.0.0.1:1", codec: msgpack(), fallback: async () => ({ stream }) });
real.close();
const hook: typeof useChannel<Chat> = useChannel;
void hook;

const { client, server } = createTestClient<Ours>();
client.connect();
const room = client.channel("room:lobby");
const heard = new Promise<Chat>((resolve) => room.subscribe((message) => resolve(message.data)));
await server.settle();
server.publish("room:lobby", { text: "hello" });
console.log("heard", (await heard).text);
const { offset } = await room.publish({ text: "you too" });
console.log("published", offset);
const waiting = room.publish({ text: "late" }).catch((error: unknown) => error);
client.close();
const late = await waiting;
if (!(late instanceof OpenlineError && late.code === "disconnected")) throw late;
"""

PAGE = """
import { createClient } from "@openline/client";
import { OpenlineProvider, useChannel, useConnection, usePresence } from "@openline/client/react";
import { renderToStaticMarkup } from "react-dom/server";

const Room = () => {
  const { state } = useConnection();
  const { messages } = useChannel("room:lobby", { last: 50, keep: 200 });
  const { count } = usePresence("room:lobby");
  return <p>{`${state} ${messages.length} ${count}`}</p>;
};
const client = createClient({ url: "http://127.0.0.1:1" });
console.log(renderToStaticMarkup(<OpenlineProvider client={client}><Room /></OpenlineProvider>));
"""
