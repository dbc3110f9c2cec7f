import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { type Broker, connect, type Delivery, LeaseLost, Reject, SupersoniqError } from "../src/index.js";
import { Server, until } from "./server.js";

for (const transport of ["websocket", "http"] as const) {
  describe(`a queue over ${transport}`, () => {
    let server: Server;
    let broker: Broker;
    let count = 0;
    const fresh = (): string => `${transport}-${count++}`;

    before(async () => {
      server = await Server.start();
      broker = connect(server.url, transport === "http" ? { webSocket: false } : {});
    });
    after(async () => {
      await broker.close();
      await server.stop();
    });

    it("travels as it should", async () => {
      assert.equal(await broker.transport(), transport);
    });

    it("gives back what was published", async () => {
      const queue = broker.queue(fresh());
      const contents = ["text \u00e9", { a: [1, null, "x"] }, 42, null, true, new Uint8Array([0, 255, 128])];
      for (const content of contents) await queue.publish(content, { headers: { h: "v" }, priority: 3, sender: "s" });
      const seen: unknown[] = [];
      for await (const delivery of queue.work()) {
        assert.equal(delivery.attempt, 1);
        assert.deepEqual(delivery.message.headers, { h: "v" });
        assert.equal(delivery.message.sender, "s");
        seen.push(delivery.message.content);
        await delivery.ack();
        if (seen.length === contents.length) break;
      }
      assert.deepEqual(seen, contents);
      assert.equal((await queue.stats()).acked, contents.length);
    });

    it("gives the urgent ones first, and each to one alone", async () => {
      const queue = broker.queue(fresh());
      await queue.publishMany(Array.from({ length: 50 }, (_, n) => ({ content: n, priority: n % 5 })));
      const seen: number[] = [];
      const workers = [1, 2, 3].map((concurrency) =>
        queue.consume(({ message }) => seen.push(message.content as number), { concurrency }),
      );
      await until(() => seen.length >= 50, "50 handled");
      await Promise.all(workers.map((worker) => worker.stop()));
      assert.deepEqual([...seen].sort((a, b) => a - b), Array.from({ length: 50 }, (_, n) => n));
      assert.equal((seen[0] as number) % 5, 4);
      assert.equal((await queue.stats()).leased, 0);
    });

    it("tells a duplicate by its key", async () => {
      const queue = broker.queue(fresh());
      const first = await queue.publish("x", { key: "k" });
      const second = await queue.publish("x", { key: "k" });
      assert.deepEqual([first.duplicate, second.duplicate], [false, true]);
      assert.equal(first.id, second.id);
      await assert.rejects(queue.publish("y", { key: "k" }), { code: "key-conflict" });
    });

    it("tries again what failed, and buries what nobody can do", async () => {
      const queue = broker.queue(fresh());
      await queue.publish("flaky");
      await queue.publish("hopeless");
      const told: unknown[] = [];
      const worker = queue.consume(
        async (delivery) => {
          if (delivery.message.content === "hopeless") throw new Reject("no such thing");
          if (delivery.attempt === 1) await delivery.nack({ delay: 0, reason: "not yet" });
        },
        { onError: (error) => told.push(error) },
      );
      await until(async () => {
        const { acked, dead } = await queue.stats();
        return acked === 1 && dead === 1 && told.length === 1;
      }, "one is acked, one dead, and told");
      await worker.stop();
      const [dead] = await queue.browse({ status: "dead" });
      assert.equal(dead?.content, "hopeless");
      assert.match(String(dead?.reason), /no such thing|rejected/);
      assert.equal(told.length, 1);
      assert.equal(await queue.redrive(), 1);
      // The worker's last request may still be waiting at the server when it hears of that, and
      // have the message for as long as the server takes to see that nobody is there.
      await until(async () => (await queue.stats()).ready === 1, "it is ready again");
      assert.equal(await queue.purge(), 1);
    });

    it("never holds more than its credit", async () => {
      const queue = broker.queue(fresh());
      await queue.publishMany(Array.from({ length: 20 }, (_, content) => ({ content })));
      const work = queue.work({ credit: 3 });
      const held: Delivery[] = [];
      for (let n = 0; n < 3; n++) held.push((await work.next()).value as Delivery);
      assert.equal((await queue.stats()).leased, 3);
      await held[0]!.ack();
      held.push((await work.next()).value as Delivery);
      assert.equal((await queue.stats()).leased, 3);
      await work.return();
      for (const delivery of held.slice(1)) await delivery.release();
      assert.equal((await queue.stats()).ready, 19);
    });

    it("says when a lease is lost", async () => {
      const queue = broker.queue(fresh());
      await queue.publish("x");
      const work = queue.work({ lease: 0.5 });
      const delivery = (await work.next()).value as Delivery;
      await queue.delete();
      await until(() => delivery.signal.aborted, "the lease is lost");
      assert.ok(delivery.signal.reason instanceof LeaseLost);
      await assert.rejects(delivery.ack(), LeaseLost);
      await work.return();
    });

    it("settles once", async () => {
      const queue = broker.queue(fresh());
      await queue.publish("x");
      const work = queue.work();
      const delivery = (await work.next()).value as Delivery;
      await delivery.ack();
      await assert.rejects(delivery.nack(), { code: "settled" });
      await work.return();
    });

    it("shows every event to every watcher, and resumes", async () => {
      const queue = broker.queue(fresh());
      await queue.configure({});
      const ready = new AbortController();
      const seen: unknown[] = [];
      let last = 0;
      const watching = (async () => {
        for await (const event of queue.watch({ signal: ready.signal, kinds: ["published", "acked"] })) {
          seen.push([event.kind, event.message?.content]);
          last = event.offset;
        }
      })();
      await until(async () => {
        if (seen.length) return true;
        await queue.publish("hello");
        return false;
      }, "watching");
      ready.abort();
      await watching;
      assert.deepEqual(seen[0], ["published", "hello"]);
      await queue.publish("missed");
      for await (const event of queue.watch({ since: last })) {
        if (event.message?.content === "hello") continue;
        assert.deepEqual([event.kind, event.message?.content], ["published", "missed"]);
        break;
      }
    });

    it("manages", async () => {
      const queue = broker.queue(fresh());
      const info = await queue.configure({ lease: 12, max_deliveries: 2 });
      assert.equal(info.policy.lease, 12);
      await queue.pause();
      assert.equal((await queue.stats()).paused, true);
      await queue.resume();
      const { id } = await queue.publish("x", { delay: 60 });
      assert.equal((await queue.get(id)).status, "scheduled");
      assert.match(await queue.explain(id), /\w+/);
      await queue.cancel(id);
      await assert.rejects(queue.cancel(id), SupersoniqError);
      assert.ok((await broker.queues()).includes(queue.name));
      assert.equal((await broker.stats())[queue.name]?.published, 1);
      await queue.delete();
      await assert.rejects(queue.stats(), { code: "queue-not-found" });
    });

    it("refuses what cannot be", async () => {
      assert.throws(() => broker.queue("a b"), { code: "invalid-name" });
      const queue = broker.queue(fresh());
      await assert.rejects(queue.publish("x", { priority: 99_999 }), { code: "invalid-argument" });
      assert.throws(() => queue.work({ credit: 0 }), { code: "invalid-argument" });
      assert.throws(() => queue.work({ lease: -1 }), { code: "invalid-argument" });
      await assert.rejects(queue.publish(undefined), { code: "invalid-argument" });
    });
  });
}
