// What pages do with the client: functions that tests call by name, in a page of the server's own.
globalThis.client = async () => await import("/console/client/index.js");
globalThis.until = async (holds) => {
  while (!(await holds())) await new Promise((done) => setTimeout(done, 5));
};

/** Everything a queue can do, once. */
globalThis.everything = async ({ name, url, socket }) => {
  const { connect, Reject } = await client();
  const broker = connect(url, socket ? {} : { webSocket: false });
  const queue = broker.queue(name);
  await queue.configure({ max_deliveries: 3, keep_done: 60 });
  const kinds = [];
  const stop = new AbortController();
  const offsets = [];
  const watching = (async () => {
    for await (const { kind, offset } of queue.watch({ kinds: ["published", "acked", "nacked", "rejected"], signal: stop.signal })) {
      kinds.push(kind);
      offsets.push(offset);
    }
  })();
  // Only what happens once it watches is told.
  await until(async () => {
    await queue.publish("probe", { priority: 100 });
    return kinds.length;
  });
  await queue.purge();
  const probes = kinds.length;

  const contents = [{ n: [1, null, "é"] }, "text", new Uint8Array([0, 255, 128]), 42];
  for (const content of contents) await queue.publish(content, { headers: { h: "v" }, recipient: "anna" });
  const acked = [];
  for await (const delivery of queue.work({ credit: 2, recipient: "anna" })) {
    const { content, headers, recipient } = delivery.message;
    if (delivery.attempt === 1 && headers.h === "v" && recipient === "anna") acked.push(content instanceof Uint8Array ? [...content] : content);
    await delivery.ack();
    if (acked.length === contents.length) break;
  }

  let held = 0, most = 0;
  await queue.publishMany(Array.from({ length: 60 }, (_, n) => ({ content: n, priority: n % 3 })));
  const done = [];
  const worker = queue.consume(async ({ message }) => {
    most = Math.max(most, ++held);
    await new Promise((finish) => setTimeout(finish, 1));
    held--;
    done.push(message.content);
  }, { concurrency: 5 });
  await until(() => done.length >= 60);
  await worker.stop();

  // Over HTTP its last request may still wait at the server, and be given the next message, in vain and until that lease
  // is over. Who asks after it gets one once it is gone; and who holds as many as it wants asks for no more.
  await queue.publish("next");
  const after = queue.work({ credit: 1 });
  const { value: next } = await after.next();
  await after.return();
  await next.ack();

  await queue.publish("fails twice");
  await queue.publish("hopeless");
  const tries = {};
  const onError = () => undefined;
  const stubborn = queue.consume((delivery) => {
    const { content } = delivery.message;
    tries[content] = delivery.attempt;
    if (content === "hopeless") throw new Reject("no such address");
    if (delivery.attempt < 3) return delivery.nack({ delay: 0, reason: `try ${delivery.attempt}` });
  }, { onError });
  await until(async () => (await queue.stats()).dead === 1 && tries["fails twice"] === 3);
  await stubborn.stop();
  const [dead] = await queue.browse({ status: "dead", content: "base64" });
  const again = await queue.get(dead.id);
  const why = await queue.explain(dead.id);
  const redriven = await queue.redrive({ ids: [dead.id] });
  // As above: the last request of those who stopped may have it for a while.
  await until(() => queue.cancel(dead.id).then(() => true, (error) => {
    if (error.code !== "message-leased") throw error;
  }));
  await queue.pause();
  const paused = (await broker.stats())[name].paused;
  await queue.resume();
  const refused = await queue.get(dead.id).catch((error) => error.code);
  const twice = [await queue.publish("x", { key: "k" }), await queue.publish("x", { key: "k" })].map(({ duplicate }) => duplicate);
  const conflict = await queue.publish("y", { key: "k" }).catch((error) => error.code);
  await until(() => kinds.filter((kind) => kind === "rejected").length === 1);
  stop.abort();
  await watching;
  const told = Object.fromEntries(["acked", "nacked", "rejected"].map((kind) => [kind, kinds.filter((each) => each === kind).length]));
  const stats = await queue.stats();
  const transport = await broker.transport();
  await broker.close();
  return {
    transport, acked, most, done: new Set(done).size, urgent: done.slice(0, 5).every((n) => n % 3 === 2), tries, told,
    published: kinds.slice(probes).filter((kind) => kind === "published").length,
    grows: offsets.every((offset, n) => !n || offset > offsets[n - 1]),
    dead: [new TextDecoder().decode(dead.content), again.content, dead.reason], why, redriven, paused, refused, twice, conflict, leased: stats.leased,
  };
};

/** Hold a message for far longer than its lease. */
globalThis.holding = async ({ name, url, socket }) => {
  const { connect } = await client();
  const broker = connect(url, socket ? {} : { webSocket: false });
  const queue = broker.queue(name);
  await queue.configure({});
  const extended = [];
  const stop = new AbortController();
  const watching = (async () => {
    for await (const { kind } of queue.watch({ kinds: ["published", "extended", "lapsed", "acked"], signal: stop.signal })) extended.push(kind);
  })();
  await until(async () => {
    await queue.publish("long");
    return extended.length;
  });
  const began = performance.now();
  const work = queue.work({ lease: 3 });
  const { value: delivery } = await work.next();
  const thrice = () => extended.filter((kind) => kind === "extended").length >= 3;
  await until(() => delivery.signal.aborted || (performance.now() - began > 4000 && thrice()));
  const lost = delivery.signal.aborted;
  await delivery.ack();
  await until(() => extended.includes("acked"));
  stop.abort();
  await watching;
  await work.return();
  await broker.close();
  return { lost, lapsed: extended.includes("lapsed"), extended: extended.filter((kind) => kind === "extended").length };
};

/** Take a message, and watch: what becomes of both when the connection is cut. */
globalThis.begin = async ({ name, url }) => {
  const { connect } = await client();
  const broker = connect(url, { patience: 20 });
  const queue = broker.queue(name);
  const state = (globalThis.state = { told: [], aborted: null, settled: null, worked: [] });
  (async () => {
    for await (const { message } of queue.watch()) state.told.push(message.content);
  })();
  (async () => {
    for await (const delivery of queue.work({ lease: 60 })) {
      state.worked.push(delivery.attempt);
      if (state.worked.length > 1) {
        await delivery.ack();
        continue;
      }
      delivery.signal.addEventListener("abort", async () => {
        state.aborted = delivery.signal.reason.code;
        state.settled = await delivery.ack().catch((error) => error.code);
      });
    }
  })();
};

/** Publish past the end of a first token. */
globalThis.renewed = async ({ name, url }) => {
  const { connect } = await client();
  let asked = 0;
  const lives = [4, 60];
  const tokens = [];
  const token = async () => {
    if (tokens.length < lives.length && asked++ < lives.length) tokens.push(await mint(lives[tokens.length]));
    return tokens.at(-1);
  };
  const broker = connect(url, { token });
  const queue = broker.queue(name);
  const began = Date.now();
  const told = [];
  await queue.publish("before");
  (async () => {
    for await (const { message } of queue.watch()) told.push(message.content);
  })();
  await until(() => Date.now() - began > 4500);
  await until(async () => {
    await queue.publish("after");
    return told.length;
  });
  const transport = await broker.transport();
  await broker.close();
  return { transport, told: told[0], tokens: tokens.length };
};
