import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, connect as dial, type Server as TcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { connect, type Delivery, LeaseLost, OutcomeUnknown, Unavailable } from "../src/index.js";
import { Server, until } from "./server.js";

/** Stands between client and server, and can cut what goes through it. */
class Wire {
  readonly sockets = new Set<Socket>();
  /** Swallow what the server answers. */
  deaf = false;
  /** Refuse the WebSocket's handshake, as a proxy may. */
  plain = false;
  server!: TcpServer;
  url = "";

  async open(port: number): Promise<this> {
    this.server = createServer((near) => {
      const far = dial(port, "127.0.0.1");
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          this.sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on("data", (data) => {
        if (this.plain && data.includes("pgrade: websocket")) near.end("HTTP/1.1 501 No\r\ncontent-length: 0\r\n\r\n");
        else far.write(data);
      });
      far.on("data", (data) => this.deaf || near.write(data));
    });
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as { port: number }).port}`;
    return this;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.server.close();
    this.cut();
  }
}

describe("when the network fails", () => {
  let server: Server;
  let wire: Wire;

  before(async () => {
    server = await Server.start();
    wire = await new Wire().open(server.port);
  });
  after(async () => {
    wire.close();
    await server.stop();
  });

  it("comes back by itself, and workers with it", async () => {
    const broker = connect(wire.url, { patience: 30 });
    const queue = broker.queue("back");
    const seen = new Set<number>();
    const worker = queue.consume(({ message }) => seen.add(message.content as number), { concurrency: 4, onError: () => undefined });
    for (let n = 0; n < 40; n++) {
      if (n % 10 === 5) wire.cut();
      await queue.publish(n, { key: `k${n}` });
    }
    await until(() => seen.size === 40, "all are handled");
    await worker.stop();
    const stats = await queue.stats();
    assert.equal(stats.published, 40);
    await broker.close();
  });

  it("loses what it held when a WebSocket ends, and says so", async () => {
    const broker = connect(wire.url);
    const queue = broker.queue("held");
    await queue.publish("x");
    const work = queue.work();
    const delivery = (await work.next()).value as Delivery;
    wire.cut();
    await until(() => delivery.signal.aborted, "aborted");
    assert.ok(delivery.signal.reason instanceof LeaseLost);
    const again = (await work.next()).value as Delivery;
    assert.equal(again.message.content, "x");
    await again.ack();
    await work.return();
    await broker.close();
  });

  it("does not know whether an unanswered publish was done", async () => {
    const broker = connect(wire.url, { patience: 30 });
    const queue = broker.queue("unknown");
    await queue.publish("first");
    wire.deaf = true;
    const publishing = queue.publish("second");
    const keyed = queue.publish("third", { key: "k" });
    setTimeout(() => {
      wire.deaf = false;
      wire.cut();
    }, 200);
    await assert.rejects(publishing, OutcomeUnknown);
    assert.ok((await keyed).id);
    const stats = await queue.stats();
    assert.ok(stats.published === 2 || stats.published === 3);
    await broker.close();
  });

  it("works over HTTP where a proxy has no WebSockets", async () => {
    wire.plain = true;
    const broker = connect(wire.url);
    assert.equal(await broker.transport(), "http");
    const queue = broker.queue("plain");
    await queue.publish("x");
    for await (const delivery of queue.work()) {
      await delivery.ack();
      break;
    }
    assert.equal((await queue.stats()).acked, 1);
    await broker.close();
    wire.plain = false;
  });

  it("resumes watching where it broke off", async () => {
    for (const webSocket of [undefined, false] as const) {
      const broker = connect(wire.url, { patience: 30, ...(webSocket === false ? { webSocket } : {}) });
      const queue = broker.queue(`watch-${webSocket}`);
      await queue.configure({});
      const seen: unknown[] = [];
      let started = false;
      const stop = new AbortController();
      const watching = (async () => {
        for await (const { kind, message } of queue.watch({ signal: stop.signal })) {
          assert.equal(kind, "published");
          if (typeof message?.content === "number") seen.push(message.content);
          started ||= message?.content === "start";
        }
      })();
      await until(async () => {
        if (!started) await queue.publish("start");
        return started;
      }, "watching");
      for (let n = 0; n < 30; n++) {
        if (n % 10 === 5) wire.cut();
        await queue.publish(n, { key: `k${n}` });
      }
      await until(() => seen.length >= 30, "30 seen");
      stop.abort();
      await watching;
      assert.deepEqual(seen, Array.from({ length: 30 }, (_, n) => n));
      await broker.close();
    }
  });
});

describe("when the server goes away", () => {
  it("says that nothing was done, and comes back when it is there again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "queue-"));
    let server = await Server.start(`sqlite:///${folder}/store.db`);
    const broker = connect(server.url, { patience: 0.3 });
    const queue = broker.queue("q");
    await queue.publish("before");
    await server.stop("SIGKILL");
    // Of what is sent before the end is seen nobody can know.
    await until(async () => {
      const error: unknown = await queue.publish("meanwhile").catch((error: unknown) => error);
      assert.ok(error instanceof Unavailable || error instanceof OutcomeUnknown);
      return error instanceof Unavailable;
    }, "known not to be done");
    server = await server.again();
    await until(
      () => queue.publish("after", { key: "after" }).then(() => true, () => false),
      "published after the restart",
    );
    assert.deepEqual((await queue.browse()).map(({ content }) => content), ["before", "after"]);
    await broker.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  it("stops gracefully: a worker outlives a restart", async () => {
    const folder = mkdtempSync(join(tmpdir(), "queue-"));
    let server = await Server.start(`sqlite:///${folder}/store.db`);
    const broker = connect(server.url);
    const queue = broker.queue("q");
    const seen: unknown[] = [];
    const worker = queue.consume(({ message }) => seen.push(message.content), { onError: () => undefined });
    await queue.publish(1);
    await until(() => seen.includes(1), "the first");
    await server.stop();
    server = await server.again();
    await until(() => queue.publish(2, { key: "2" }).then(() => true, () => false), "published");
    await until(() => seen.includes(2), "the second");
    await worker.stop();
    await broker.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });
});
