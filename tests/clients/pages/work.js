// Queue work over any connection that carries frames: {send(frame), next()}. Publishes, takes it all
// again with a credit of 10, acknowledges, and asks for something impossible on the way.
globalThis.work = async (connection, queue, count) => {
  const { send, next } = connection;
  const until = async (fits) => {
    for (;;) { const frame = await next(); if (fits(frame)) return frame; }
  };
  const ask = (frame) => { send(frame); return until((got) => got.id === frame.id); };
  const { type, durability } = await next();
  const messages = Array.from({ length: count }, (_, n) => ({ content: { n }, priority: n % 3 }));
  const { published } = await ask({ type: "publish", id: "p", queue, messages });
  const refused = await ask({ type: "publish", id: 1, queue: "no such name!", messages });
  send({ type: "subscribe", id: 2, queue, mode: "work", credit: 10 });
  const seen = [];
  let held = 0, most = 0, id = 2, acked = 0;
  while (acked < count) {
    const frame = await next();
    if (frame.type === "deliver") {
      held += frame.messages.length;
      most = Math.max(most, held);
      seen.push(...frame.messages.map((message) => message.content.n));
      const settlements = frame.messages.map(({ receipt }) => ({ receipt, outcome: "ack" }));
      send({ type: "settle", id: ++id, queue, settlements });
      held -= settlements.length;
    } else if (frame.verdicts) acked += frame.verdicts.filter((verdict) => verdict.ok).length;
  }
  return {
    type, durability, published: published.length, refused: refused.problem.code, most, acked,
    ordered: seen.slice(0, 10).every((n) => n % 3 === 2), distinct: new Set(seen).size,
  };
};
