/** For Node alone: messages that an HTTP/2 server pushes (RFC 8030, section 6), each a response of its own. */

import * as http2 from "node:http2";

import { message, type RawMessage } from "./content.js";
import { fromProblem, SupersoniqError, Unavailable } from "./errors.js";
import type { Message, Problem } from "./types.js";

export interface PushOptions {
  /** A JSON Web Token. */
  token?: string;
  /** Certificates to trust instead of the system's. */
  ca?: string | Buffer;
  /** `true`: everything undelivered, and then the end. `false`: go on for ever; the default. */
  once?: boolean;
  signal?: AbortSignal;
}

/**
 * The messages of a queue as they are pushed, each as its own resource is. Those that the server cannot push (the token
 * has no `browse`, there are too many at once, a consumer was faster) come in the stream. Watching takes no message.
 */
export async function* pushed(url: string, queue: string, options: PushOptions = {}): AsyncGenerator<Message, void, undefined> {
  const base = new URL(url);
  const session = http2.connect(base.origin, options.ca === undefined ? {} : { ca: options.ca });
  const ready: Message[] = [];
  let failure: Error | null = null;
  let over = false;
  let reading = 0;
  let wake: () => void = () => undefined;
  const end = (error?: Error): void => {
    over = true;
    failure ??= error ?? null;
    wake();
  };
  const leave = (): void => end();
  session.on("error", (error) => end(new Unavailable(String(error))));
  session.on("close", () => end());
  options.signal?.addEventListener("abort", leave, { once: true });
  const heard = (line: string): void => {
    const told = JSON.parse(line) as { kind: string; message?: RawMessage | null; problem?: Problem };
    if (told.kind === "published" && told.message) ready.push(message(told.message));
    else if (told.problem) end(fromProblem(told.problem));
  };
  session.on("stream", (stream) => {
    reading++;
    let status = 0;
    stream.on("push", (head) => (status = Number(head[":status"])));
    void text(stream)
      .then((body) => {
        if (status === 200) ready.push(message(JSON.parse(body) as RawMessage)); // else it is in the stream
      })
      .catch(end)
      .finally(() => {
        reading--;
        wake();
      });
  });
  const headers: http2.OutgoingHttpHeaders = {
    ":path": `${base.pathname.replace(/\/+$/, "")}/queues/${queue}/events`,
    accept: "application/x-ndjson",
  };
  if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`;
  if (options.once) headers.prefer = "wait=0";
  const request = session.request(headers);
  request.setEncoding("utf8");
  request.on("response", (head) => {
    if (head[":status"] === 200) {
      let rest = "";
      request.on("data", (piece: string) => {
        const lines = (rest + piece).split("\n");
        rest = lines.pop() ?? "";
        lines.forEach(heard);
        wake();
      });
    } else {
      end(new SupersoniqError("http", `the server answers ${head[":status"]}`));
      request.resume();
    }
  });
  request.on("error", (error) => end(new Unavailable(String(error))));
  request.on("end", () => end());
  try {
    for (;;) {
      const next = ready.shift();
      if (next) yield next;
      else if (options.signal?.aborted || (over && !reading)) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    if (failure && !options.signal?.aborted) throw failure as Error;
  } finally {
    options.signal?.removeEventListener("abort", leave);
    session.destroy();
  }
}

async function text(stream: http2.ClientHttp2Stream): Promise<string> {
  let body = "";
  stream.setEncoding("utf8");
  for await (const piece of stream) body += piece as string;
  return body;
}
