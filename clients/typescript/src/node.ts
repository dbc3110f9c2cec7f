/** For Node alone: messages that an HTTP/2 server pushes (RFC 8030, section 6), each a response of its own. */

import * as http2 from "node:http2";

import { message, type RawMessage } from "./content.js";
import { SupersoniqError, Unavailable } from "./errors.js";
import type { Message } from "./types.js";

export interface PushOptions {
  /** A JSON Web Token. */
  token?: string;
  /** Certificates to trust instead of the system's. */
  ca?: string | Buffer;
  /** `true`: everything undelivered, and then the end. `false`: go on for ever; the default. */
  once?: boolean;
  signal?: AbortSignal;
}

/** The messages of a queue as they are pushed, each as its own resource is. Watching takes no message. */
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
  session.on("stream", (stream) => {
    reading++;
    void text(stream)
      .then((body) => ready.push(message(JSON.parse(body) as RawMessage)), end)
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
  request.on("response", (head) => {
    if (head[":status"] !== 200) end(new SupersoniqError("http", `the server answers ${head[":status"]}`));
  });
  request.on("error", (error) => end(new Unavailable(String(error))));
  request.on("end", () => end());
  request.resume();
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
