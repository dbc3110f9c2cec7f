async ([queue, count]) => {
  const socket = new WebSocket(`wss://${location.host}/ws`, ["supersoniq.v1.json"]);
  const frames = [], waiting = [];
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    waiting.length ? waiting.shift()(frame) : frames.push(frame);
  };
  await new Promise((done, failed) => { socket.onopen = done; socket.onerror = failed; });
  const next = () => frames.length ? frames.shift() : new Promise((done) => waiting.push(done));
  const did = await work({ send: (frame) => socket.send(JSON.stringify(frame)), next }, queue, count);
  const closed = new Promise((done) => (socket.onclose = done));
  socket.close(1000);
  return { ...did, protocol: socket.protocol, code: (await closed).code };
}
