import { expect, test } from "vitest";
import { createTestClient } from "../src/testing.js";
test("a message", async () => {
  const { client, server } = createTestClient();
  client.connect();
  const got: unknown[] = [];
  client.channel("room:a").subscribe((m) => got.push(m.data));
  await server.settle();
  server.publish("room:a", 1);
  await server.settle();
  expect(client.state).toBe("online");
  expect(got).toEqual([1]);
  client.close();
});
