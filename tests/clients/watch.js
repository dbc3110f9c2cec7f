// node watch.js URL CA SETTINGS FIELDS: hold a stream, and tell line by line what comes on it and
// what is pushed beside it.
const http2 = require("http2");
const [url, ca, settings, fields] = process.argv.slice(2);
const tell = (...what) => console.log(JSON.stringify(what));
const session = http2.connect(url, {
  ca: ca && require("fs").readFileSync(ca),
  settings: JSON.parse(settings),
});
let open = 1;
const over = () => --open || session.close();
session.on("error", (error) => { throw error; });
session.on("stream", (stream, request) => {
  open++;
  tell("promised", stream.id, { ...request });
  let body = "";
  stream.setEncoding("utf8");
  stream.on("push", (answer) => tell("status", stream.id, answer[":status"]));
  stream.on("data", (data) => (body += data));
  stream.on("end", () => tell("body", stream.id, body));
  stream.on("close", over);
});
const request = session.request(JSON.parse(fields));
let rest = "";
request.setEncoding("utf8");
request.on("data", (data) => {
  const lines = (rest + data).split("\n");
  rest = lines.pop();
  for (const line of lines) tell("line", request.id, line);
});
request.on("close", over);
request.end();
