// A page that works by fetch, reads a stream of lines, and hears of it all by server-sent events.
async ([queue, large]) => {
  const at = `/queues/${queue}`;
  const ask = async (method, path, value) => {
    const body = value === undefined ? undefined : JSON.stringify(value);
    const answer = await fetch(path, { method, headers: { "content-type": "application/json" }, body });
    return { status: answer.status, kind: answer.headers.get("content-type"), value: await answer.json() };
  };
  const source = new EventSource(`${at}/events?kinds=published,acked`);
  const kinds = [];
  for (const kind of ["published", "acked"]) source.addEventListener(kind, () => kinds.push(kind));
  await new Promise((done) => source.addEventListener("start", done));

  const contents = [{ content: "small" }, { content: "x".repeat(large) }, { content: [1, 2] }];
  const made = await ask("POST", `${at}/messages`, contents);
  const leased = await ask("POST", `${at}/leases`, { limit: 10, wait: 5 });
  const sizes = leased.value.map(({ content }) => content.length);
  const acks = leased.value.map(({ receipt }) => ({ receipt, outcome: "ack" }));
  const settled = await ask("POST", `${at}/settlements`, acks);
  const again = await ask("POST", `${at}/settlements`, [{ receipt: "x", outcome: "ack" }]);
  const missing = await ask("GET", "/queues/there-is-none");
  while (kinds.length < 6) await new Promise((done) => setTimeout(done, 5));
  source.close();

  const raw = await fetch(`${at}/messages?priority=7`, { method: "POST", body: new Uint8Array([0, 255]) });
  const { id } = await raw.json();
  const lines = await fetch(`${at}/events`, { headers: { accept: "application/x-ndjson", prefer: "wait=0" } });
  const read = (await lines.text()).trim().split("\n").map((line) => JSON.parse(line));
  const [one] = (await ask("POST", `${at}/leases`, { wait: 5 })).value;
  await ask("POST", `${at}/settlements`, [{ receipt: one.receipt, outcome: "ack" }]);
  const spoken = performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol);
  return {
    made: made.status, sizes, settled: settled.value, again: again.value[0].problem.code,
    missing: [missing.status, missing.kind, missing.value.code], kinds: kinds.sort(),
    lines: read.map(({ kind, message }) => [kind, message && message.id === id]),
    binary: [one.content_base64, one.priority, one.id === id], spoken: [...new Set(spoken)],
  };
}
