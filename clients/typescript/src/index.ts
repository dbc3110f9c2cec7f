/**
 * A client of the SupersoniQ message queue, for browsers and Node.
 *
 *     const broker = connect("https://queue.example");
 *     await broker.queue("emails").publish({ to: "ada@example.com" }, { priority: 5 });
 *     const worker = broker.queue("emails").consume(async ({ message }) => send(message.content));
 */

import { Connection, type ConnectOptions } from "./connection.js";
import { figures } from "./figures.js";
import { Queue } from "./queue.js";
import { Settler } from "./settling.js";
import type { QueueStats } from "./types.js";

export class Broker {
  readonly #connection: Connection;
  readonly #settler: Settler;

  constructor(url: string, options: ConnectOptions = {}) {
    this.#connection = new Connection(url, options);
    this.#settler = new Settler(this.#connection);
  }

  queue(name = "default"): Queue {
    return new Queue(name, this.#connection, this.#settler);
  }

  /** The names of all queues, sorted. */
  async queues(): Promise<string[]> {
    const found = await this.#connection.persist(true, () => this.#connection.http.call("GET", "/queues"));
    return found as string[];
  }

  /** The figures of all queues whose figures may be seen, by name. */
  async stats(): Promise<Record<string, QueueStats>> {
    return this.#connection.persist(true, () => figures(this.#connection));
  }

  /** How calls travel just now. Rejects if the server cannot be reached. */
  async transport(): Promise<"websocket" | "http"> {
    return (await this.#connection.session()) ? "websocket" : "http";
  }

  /** End: what is unsettled is released by the server. Stop workers first. */
  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** A broker at a server's address: `http(s)://host/prefix`. It connects when it is first used. */
export function connect(url: string, options: ConnectOptions = {}): Broker {
  return new Broker(url, options);
}

export type { ConnectOptions } from "./connection.js";
export { Delivery, Reject } from "./delivery.js";
export { LeaseLost, OutcomeUnknown, SupersoniqError, Unavailable } from "./errors.js";
export { Queue, type ConsumeOptions } from "./queue.js";
export type * from "./types.js";
export type { WatchOptions } from "./watch.js";
export { Work, Worker, type Handler, type WorkOptions } from "./work.js";
