import { expect, test } from "vitest";
import { type Core, createRoom } from "../src/channel.js";
import { createPositions } from "../src/positions.js";

const NAME = "room:a";

/** As much of an attempt as a channel uses: answers are given by the test. */
const line = () => {
  const answers: ((error: null, ack: object) => void)[] = [];
  return { asked: new Set<string>(), live: new Set<string>(), greeting: {}, ask: (_: object, done: never) => void answers.push(done), answers };
};

test("what the line before says late of a subscription counts no more", () => {
  const [before, next] = [line(), line()];
  const lines = [before];
  const positions = createPositions();
  const nothing = () => {};
  const core = {
    positions,
    random: () => 0,
    lines: () => lines,
    hosted: () => new Set(),
    mutes: () => false,
    pump: nothing,
    cancel: nothing,
    after: nothing,
    enter: (_: string, room: unknown) => room,
  };
  const room = createRoom(core as never as Core, NAME, {});
  const lost: unknown[] = [];
  room.channel.on("lost", (event) => lost.push(event));
  room.channel.subscribe(nothing);
  lines.splice(0, 1, next);
  room.join(next as never);
  next.answers[0]!(null, { epoch: "e", offset: 5 });
  before.answers[0]!(null, { epoch: "e", offset: 7 });
  expect([positions.get(NAME)?.offset, lost, room.channel.state]).toEqual([5, [], "live"]);
});
