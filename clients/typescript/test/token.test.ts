import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { connect, SupersoniqError } from "../src/index.js";
import { pushed } from "../src/node.js";
import { expiry } from "../src/renewal.js";
import { Server, until } from "./server.js";

const SECRET = "0123456789abcdef0123456789abcdef-and-more";
const ALL = "publish:* consume:* browse:* watch:* manage:*";

function minted(seconds: number, scope = ALL, sub = "anna"): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, scope, exp: Date.now() / 1000 + seconds })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

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

// Side by side, as some wait for the end of a token.
describe("with tokens", { concurrency: true }, () => {
  let server: Server;
  let folder: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "supersoniq-"));
    const file = join(folder, "secret");
    writeFileSync(file, SECRET, { mode: 0o600 });
    server = await Server.start("memory://", 0, ["--auth-secret-file", file]);
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  it("is told in the stream of what cannot be pushed to it", async () => {
    const broker = connect(server.url, { token: minted(60) });
    const queue = broker.queue("watched");
    await queue.configure({});
    for (const scope of ["watch:*", "watch:* browse:*"]) {
      const stop = new AbortController();
      let seen = 0;
      const publishing = (async () => {
        while (!stop.signal.aborted) {
          await queue.publish("new");
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      })();
      for await (const message of pushed(server.url, "watched", { token: minted(60, scope), signal: stop.signal })) {
        assert.equal(message.content, "new");
        if (++seen === 3) break;
      }
      stop.abort();
      await publishing;
      assert.equal(seen, 3, scope);
    }
    await broker.close();
  });

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

  it("says what is wrong with a token, and takes a better one", async () => {
    let token = "";
    const broker = connect(server.url, { token: () => token, patience: 0 });
    for (token of ["no token", minted(-10)]) {
      await assert.rejects(broker.queues(), (error: SupersoniqError) => error.code === "authentication-failed");
      await assert.rejects(broker.stats(), (error: SupersoniqError) => error.code === "authentication-failed");
    }
    token = minted(60, "browse:seen publish:*");
    await broker.queue("seen").publish("x");
    await broker.queue("unseen").publish("x");
    assert.equal(await broker.transport(), "websocket");
    assert.deepEqual(Object.keys(await broker.stats()), ["seen"]);
    const refused = (error: SupersoniqError): boolean => error.code === "permission-denied";
    await assert.rejects(broker.queue("seen").purge(), refused);
    await broker.close();
  });

  it("comes again where a server cannot check tokens yet", async () => {
    const other = await Server.start("memory://", 0, ["--auth-jwks", "http://127.0.0.1:1/"]);
    const broker = connect(other.url, { token: `${btoa('{"alg":"EdDSA"}')}.e30.e30`, patience: 0 });
    for (const call of [broker.transport(), broker.queue("q").publish("x", { key: "k" })]) {
      await assert.rejects(call, (error: SupersoniqError) => error.code === "backend-unavailable" && error.retry);
    }
    await broker.close();
    await other.stop();
  });

  it("reads when a token expires", () => {
    assert.equal(expiry(`a.${Buffer.from('{"exp": 12.5, "sub": "\u00fc?>"}').toString("base64url")}.c`), 12_500);
    for (const none of ["", "a", "a.b.c", `a.${btoa("null")}.c`, `a.${btoa('{"exp": "soon"}')}.c`]) {
      assert.equal(expiry(none), null);
    }
  });
});
