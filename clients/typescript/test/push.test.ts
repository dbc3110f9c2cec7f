import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { connect } from "../src/index.js";
import { pushed } from "../src/node.js";
import { Server } from "./server.js";

describe("HTTP/2 push", () => {
  let server: Server;

  before(async () => {
    server = await Server.start();
  });
  after(() => server.stop());

  it("brings each message as a response of its own", async () => {
    const broker = connect(server.url);
    const queue = broker.queue("pushed");
    for (let n = 0; n < 20; n++) await queue.publish(n);
    const seen: unknown[] = [];
    for await (const message of pushed(server.url, "pushed", { once: true })) seen.push(message.content);
    assert.deepEqual(seen.sort((a, b) => Number(a) - Number(b)), Array.from({ length: 20 }, (_, n) => n));
    const stop = new AbortController();
    let started = false;
    const publishing = (async () => {
      while (!started) {
        await queue.publish("new");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    for await (const message of pushed(server.url, "pushed", { signal: stop.signal })) {
      assert.equal(message.content, "new");
      started = true;
      break;
    }
    stop.abort();
    await publishing;
    await broker.close();
  });

  it("says what is wrong", async () => {
    await assert.rejects(async () => {
      for await (const _ of pushed(server.url, "nowhere", { once: true })) assert.fail();
    }, { code: "http" });
    await assert.rejects(async () => {
      for await (const _ of pushed("http://127.0.0.1:1", "q", { once: true })) assert.fail();
    }, { code: "backend-unavailable" });
  });
});
