// Frames of RFC 6455 on streams of a WebTransport session, as a page makes them: with a mask, as
// clients must, that is zero. Several streams at a time, each of which is a WebSocket.
async ([port, hash, queues, last, count]) => {
  const transport = new WebTransport(`https://127.0.0.1:${port}/ws`, {
    serverCertificateHashes: [{ algorithm: "sha-256", value: new Uint8Array(hash) }],
  });
  await transport.ready;

  const open = async () => {
    const stream = await transport.createBidirectionalStream();
    const writer = stream.writable.getWriter(), reader = stream.readable.getReader();
    const write = (kind, bytes) => {
      const n = bytes.length, head = [0x80 | kind];
      if (n < 126) head.push(0x80 | n);
      else if (n < 65536) head.push(0x80 | 126, n >> 8, n & 255);
      else head.push(0x80 | 127, 0, 0, 0, 0, n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255);
      const frame = new Uint8Array(head.length + 4 + n);
      frame.set(head);
      frame.set(bytes, head.length + 4);
      return writer.write(frame);
    };
    let rest = new Uint8Array(0);
    const take = async (n) => {
      while (rest.length < n) {
        const { value, done } = await reader.read();
        if (done) throw new Error("the stream is over");
        const more = new Uint8Array(rest.length + value.length);
        more.set(rest);
        more.set(value, rest.length);
        rest = more;
      }
      const taken = rest.slice(0, n);
      rest = rest.slice(n);
      return taken;
    };
    const read = async () => {
      const head = await take(2);
      let n = head[1] & 127;
      if (n > 125) n = (await take(n === 126 ? 2 : 8)).reduce((sum, byte) => sum * 256 + byte, 0);
      return [head[0] & 15, await take(n)];
    };
    const next = async () => JSON.parse(new TextDecoder().decode((await read())[1]));
    const send = (frame) => write(1, new TextEncoder().encode(JSON.stringify(frame)));
    return { send, next, write, read };
  };

  const did = await Promise.all(queues.map(async (queue) => work(await open(), queue, count)));

  // A large message goes both ways whole, and the end is said as WebSockets say it.
  const one = await open();
  await one.next();
  const content = "é".repeat(300000);
  one.send({ type: "publish", id: 1, queue: last, messages: [{ content }] });
  await one.next();
  one.send({ type: "subscribe", id: 2, queue: last, mode: "work", credit: 1 });
  await one.next();
  const { messages: [message] } = await one.next();
  const settlements = [{ receipt: message.receipt, outcome: "ack" }];
  one.send({ type: "settle", id: 3, queue: last, settlements });
  await one.next();
  await one.write(8, [0x0f, 0xa0]);
  const [kind, code] = await one.read();
  transport.close();
  await transport.closed;
  return { did, whole: message.content === content, end: [kind, code[0] * 256 + code[1]] };
}
