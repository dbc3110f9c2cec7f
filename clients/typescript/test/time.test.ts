import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { connect, type Delivery } from "../src/index.js";
import { expiry } from "../src/renewal.js";
import { Server, until } from "./server.js";
import { ALL, Guard, minted } from "./tokens.js";

/** A WebSocket that counts how often it connects. */
function counted(): { new (url: string, protocols: string[]): WebSocket; opened: number } {
  return class Counted extends WebSocket {
    static opened = 0;
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      Counted.opened++;
    }
  };
}

// Side by side, since each takes seconds: a lease or a token is to bear with a machine that stops for some.
describe("what takes its time", { concurrency: true }, () => {
  let server: Server;
  let guard: Guard;

  before(async () => {
    guard = new Guard();
    server = await Server.start("memory://", 0, guard.flags);
  });
  after(async () => {
    await server.stop();
    guard.remove();
  });

  for (const transport of ["websocket", "http"] as const) {
    it(`extends a lease by itself over ${transport} for as long as it is held`, async (test) => {
      const broker = connect(server.url, { token: minted(60), ...(transport === "http" ? { webSocket: false } : {}) });
      test.after(() => broker.close());
      const queue = broker.queue(transport);
      await queue.publish("slow");
      const work = queue.work({ lease: 4.5 });
      const delivery = (await work.next()).value as Delivery;
      await new Promise((resolve) => setTimeout(resolve, 5500));
      assert.equal(delivery.signal.aborted, false);
      await delivery.ack();
      await work.return();
      const stats = await queue.stats();
      assert.deepEqual([stats.acked, stats.lapsed], [1, 0]);
    });
  }

  it("goes on past the end of a token, on the same connection", async () => {
    const Counted = counted();
    let asked = 0;
    const first = minted(5);
    const broker = connect(server.url, { webSocket: Counted, token: async () => (asked++ ? minted(60) : first) });
    const queue = broker.queue("renewed");
    await queue.publish("before");
    const lapsed = expiry(first) as number;
    const work = queue.work();
    const { value: delivery } = await work.next();
    await until(() => Date.now() > lapsed, "the first token is over");
    await delivery.ack();
    await queue.publish("after");
    assert.equal((await work.next()).value.message.content, "after");
    assert.equal(Counted.opened, 1);
    await broker.close();
  });

  it("asks again where a new token is refused, or cannot be had", async () => {
    const Counted = counted();
    const found = [minted(6), "Error", minted(60, ALL, "somebody else"), minted(60)];
    const token = (): string => {
      const next = found.length > 1 ? found.shift() : found[0];
      if (next === "Error") throw new Error("no token just now");
      return next as string;
    };
    const broker = connect(server.url, { webSocket: Counted, token });
    const queue = broker.queue("again");
    const lapsed = expiry(found[0] as string) as number;
    await queue.publish(1);
    await until(() => found.length === 1 && Date.now() > lapsed, "the first token is over");
    await queue.publish(2);
    assert.equal(Counted.opened, 1);
    await broker.close();
  });
});
