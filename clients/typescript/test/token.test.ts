import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { connect, SupersoniqError } from "../src/index.js";
import { pushed } from "../src/node.js";
import { expiry } from "../src/renewal.js";
import { Server } from "./server.js";
import { Guard, minted } from "./tokens.js";

describe("with tokens", () => {
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
