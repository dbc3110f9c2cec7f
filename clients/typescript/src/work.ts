/**
 * Taking work: deliveries as they come, never more unsettled than the credit.
 *
 * Over a WebSocket the server counts the credit, and releases everything when the connection ends: so those deliveries
 * are lost then. Over HTTP the credit is counted here, and leases outlive a connection.
 */

import { sleep, type Connection } from "./connection.js";
import type { RawMessage } from "./content.js";
import { Delivery, Reject } from "./delivery.js";
import { SupersoniqError, Unavailable } from "./errors.js";
import type { Session } from "./session.js";
import type { Settler } from "./settling.js";

export interface WorkOptions {
  /** Deliveries that may be unsettled at the same time; 1. */
  credit?: number;
  /** Seconds of each lease, 0.1 to 43,200; the queue's. It is extended by itself while a delivery is unsettled. */
  lease?: number;
  /** Also get the messages for this recipient. */
  recipient?: string;
  /** Aborted: take no more, give back what nobody has in hand, and end. */
  signal?: AbortSignal;
}

/** What a queue that does not exist yet is asked for. */
const LEASE = 30;
/** Seconds that one request over HTTP waits. */
const WAIT = 20;

export class Work implements AsyncIterableIterator<Delivery> {
  readonly #credit: number;
  readonly #recipient: string | undefined;
  readonly #stop = new AbortController();
  readonly #held = new Set<Delivery>();
  readonly #ready: Delivery[] = [];
  #waiting: { resolve(result: IteratorResult<Delivery>): void; reject(error: unknown): void }[] = [];
  #lease: number | undefined;
  #failure: unknown = null;
  #ended = false;
  #freed: () => void = () => undefined;
  #running: Promise<void>;

  constructor(
    private readonly connection: Connection,
    private readonly settler: Settler,
    private readonly queue: string,
    options: WorkOptions,
  ) {
    const { credit = 1, lease, recipient, signal } = options;
    if (!Number.isInteger(credit) || credit < 1) {
      throw new SupersoniqError("invalid-argument", `credit = ${credit}: takes an integer of 1 or more`);
    }
    if (lease !== undefined && !(lease >= 0.1 && lease <= 43_200)) {
      throw new SupersoniqError("invalid-argument", `lease = ${lease}: takes seconds from 0.1 to 43,200`);
    }
    this.#credit = credit;
    this.#lease = lease;
    this.#recipient = recipient;
    const leave = (): void => this.#stop.abort();
    if (signal?.aborted) leave();
    else signal?.addEventListener("abort", leave, { once: true });
    this.#running = this.#run()
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        signal?.removeEventListener("abort", leave);
        this.#finish();
      });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Delivery>> {
    const delivery = this.#ready.shift();
    if (delivery) return Promise.resolve({ done: false, value: delivery });
    if (this.#failure) {
      const error: unknown = this.#failure;
      this.#failure = null;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Take no more, give back what nobody has in hand. What is in hand stays so: settle it. */
  async return(): Promise<IteratorResult<Delivery>> {
    this.#stop.abort();
    await this.#running;
    return { done: true, value: undefined };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        this.#lease ??= await this.#length();
        const session = await this.connection.session();
        if (signal.aborted) return;
        await (session ? this.#subscribe(session) : this.#poll(signal));
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof SupersoniqError && error.retry)) throw error;
        await sleep(1000 * (error.retryAfter ?? 0.5 + Math.random() / 2), signal);
      }
    }
  }

  /** Of the queue's leases, which must be known to extend them in time. */
  async #length(): Promise<number> {
    try {
      const found = await this.connection.http.call("GET", `/queues/${this.queue}`, undefined, this.#stop.signal);
      return (found as { policy: { lease: number } }).policy.lease;
    } catch (error) {
      if (error instanceof SupersoniqError && ["queue-not-found", "permission-denied"].includes(error.code)) return LEASE;
      throw error;
    }
  }

  /** Work over a WebSocket until it ends, or we do. */
  async #subscribe(session: Session): Promise<void> {
    const { signal } = this.#stop;
    const ours = new Set<Delivery>();
    let end: (error: unknown) => void = () => undefined;
    const ended = new Promise<unknown>((resolve) => (end = resolve));
    const frame = {
      type: "subscribe", queue: this.queue, mode: "work", credit: this.#credit, lease: this.#lease, recipient: this.#recipient,
    };
    const { subscription } = await session.request(frame, (told) => {
      if (told === null) {
        for (const delivery of ours) delivery.lose("the connection ended, and the server released the message");
        end(null);
      } else if (told.type === "error") end(new Unavailable("the subscription ended"));
      else if (told.type === "deliver") {
        for (const raw of told.messages as RawMessage[]) this.#arrive(raw, ours);
      }
    });
    const leave = (): void => end(null);
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    const error = await ended;
    signal.removeEventListener("abort", leave);
    if (signal.aborted && session.alive) {
      // Until it is answered, more may come, which is given back with the rest.
      await session.request({ type: "unsubscribe", subscription }).catch(() => undefined);
      session.forget(subscription as number);
    }
    if (error) throw error;
  }

  /** Work over HTTP until a WebSocket can be tried again, or we end. */
  async #poll(signal: AbortSignal): Promise<void> {
    const free = this.#credit - this.#held.size;
    if (free <= 0) {
      await new Promise<void>((resolve) => {
        this.#freed = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      return;
    }
    const asked = { limit: free, wait: WAIT, lease: this.#lease, recipient: this.#recipient };
    const found = await this.connection.http.call("POST", `/queues/${this.queue}/leases`, asked, signal);
    for (const raw of found as RawMessage[]) this.#arrive(raw, null);
  }

  #arrive(raw: RawMessage, group: Set<Delivery> | null): void {
    const delivery = new Delivery(raw, this.#lease as number, this.settler, (over) => {
      this.#held.delete(over);
      group?.delete(over);
      const place = this.#ready.indexOf(over);
      if (place >= 0) this.#ready.splice(place, 1); // lost before anybody had it
      this.#freed();
    });
    this.#held.add(delivery);
    group?.add(delivery);
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve({ done: false, value: delivery });
    else this.#ready.push(delivery);
  }

  #finish(): void {
    this.#ended = true;
    for (const delivery of this.#ready.splice(0)) delivery.release().catch(() => undefined);
    for (const waiting of this.#waiting.splice(0)) {
      if (this.#failure) {
        waiting.reject(this.#failure);
        this.#failure = null;
      } else waiting.resolve({ done: true, value: undefined });
    }
  }
}

/** Does one message. Its delivery's `signal` aborts when the lease is lost. */
export type Handler = (delivery: Delivery) => unknown;

export class Worker {
  /** Settles when the worker has ended: rejects if it could not go on. */
  readonly done: Promise<void>;
  readonly #work: Work;

  constructor(work: Work, handler: Handler, onError: (error: unknown, delivery: Delivery) => void) {
    this.#work = work;
    this.done = this.#run(handler, onError);
    this.done.catch(() => undefined); // whoever wants to know awaits it
  }

  /** Take no more, and wait until what is in hand is done. */
  async stop(): Promise<void> {
    await this.#work.return();
    await this.done;
  }

  async #run(handler: Handler, onError: (error: unknown, delivery: Delivery) => void): Promise<void> {
    const busy = new Set<Promise<void>>();
    try {
      for await (const delivery of this.#work) {
        const one = this.#handle(delivery, handler, onError).finally(() => busy.delete(one));
        busy.add(one);
      }
    } finally {
      await Promise.all(busy);
    }
  }

  async #handle(delivery: Delivery, handler: Handler, onError: (error: unknown, delivery: Delivery) => void): Promise<void> {
    try {
      try {
        await handler(delivery);
      } catch (error) {
        onError(error, delivery);
        const reason = (error instanceof Error ? error.message || error.name : String(error)).slice(0, 1000);
        if (!delivery.settled) await (error instanceof Reject ? delivery.reject(reason) : delivery.nack({ reason }));
        return;
      }
      if (!delivery.settled) await delivery.ack();
    } catch (error) {
      onError(error, delivery); // settled by the handler already, or the lease is lost
    }
  }
}
