"""`/client.js` and `/client.d.ts`: build products in the repository, so that nobody needs Node to run a server."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.support.node import CLIENT, WEB, run

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    run("node", "bundle.mjs", str(folder), folder=CLIENT)
    return folder


@pytest.mark.parametrize("name", ["client.js", "client.d.ts"])
def test_what_the_front_door_serves_is_what_the_sources_say(built, name):
    assert (WEB / name).read_text("utf-8") == (built / name).read_text("utf-8"), (
        f"web/{name} is stale: run `npm run bundle` in clients/js"
    )


def test_the_module_stands_alone(built):
    run("node", "--input-type=module", "-e", PROGRAM, folder=built)


def test_the_types_stand_alone(built):
    (built / "use.ts").write_text(USE, "utf-8")
    options = "--noEmit --ignoreConfig --strict --module esnext --moduleResolution bundler --target es2022"
    tsc = CLIENT / "node_modules/.bin/tsc"
    libraries = ("--lib", "es2022,dom", "--types", "")
    run(str(tsc), *options.split(), *libraries, "use.ts", folder=built)


def test_it_is_one_small_file(built):
    text = (built / "client.js").read_bytes()
    assert b"import(" not in text
    assert len(gzip.compress(text, 9)) < 11_000


PROGRAM = """
import * as client from "./client.js";
const names = Object.keys(client).sort().join(" ");
if (names !== "OpenlineError Unauthorized createClient sessionPositions") throw new Error(names);
if (client.createClient().state !== "idle") throw new Error("it does something before connect()");
"""

USE = """
import { createClient, OpenlineError, type Message } from "./client.js";
type Chat = { text: string };
const client = createClient<{ [room: `room:${string}`]: Chat }>({ token: async ({ reason }) => reason });
const stop = client.channel("room:a").subscribe((m: Message<Chat>) => m.data.text.length);
stop();
// @ts-expect-error no such channel
client.channel("notify:orders");
// @ts-expect-error no such code
export const odd = (e: OpenlineError) => e.code === "odd";
// @ts-expect-error not for users
import { refusal } from "./client.js";
"""
