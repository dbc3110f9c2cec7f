/** A message in hand, until it is settled or its lease is lost. */

import { message, type RawMessage } from "./content.js";
import { LeaseLost, SupersoniqError } from "./errors.js";
import type { Outcome, Settlement, Settler } from "./settling.js";
import type { Message } from "./types.js";

/** Thrown by a handler: nobody can do this message; it is dead at once. */
export class Reject extends Error {
  override readonly name = "Reject";
}

export class Delivery {
  readonly message: Message;
  /** Counts the deliveries of the message, from 1. */
  readonly attempt: number;
  readonly receipt: string;
  readonly #lost = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #until: number;
  #settled: Promise<void> | null = null;
  #over = false;

  /** Made by the client, with the length of its lease in seconds. */
  constructor(
    raw: RawMessage,
    private readonly lease: number,
    private readonly settler: Settler,
    private readonly done: (delivery: Delivery) => void,
  ) {
    this.message = message(raw);
    this.attempt = raw.attempt as number;
    this.receipt = raw.receipt as string;
    this.#until = performance.now() + lease * 1000;
    this.#plan();
  }

  /** Aborted when the lease is lost: the message is, or will be, somebody else's. Its reason is a `LeaseLost`. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether it was settled, or lost. */
  get settled(): boolean {
    return this.#over;
  }

  /** Done. */
  ack(): Promise<void> {
    return this.#end("ack", {});
  }

  /** Failed: again after `delay` seconds (by default the queue's backoff), or dead at its `max_deliveries`. */
  nack(options: { delay?: number; reason?: string } = {}): Promise<void> {
    return this.#end("nack", options);
  }

  /** Given back untried, not counted. */
  release(options: { delay?: number } = {}): Promise<void> {
    return this.#end("release", options);
  }

  /** Dead at once. */
  reject(reason?: string): Promise<void> {
    return this.#end("reject", reason === undefined ? {} : { reason });
  }

  /** Hold it for so many seconds from now. It is done by itself at a third of the lease, for as long as nobody settles. */
  async extend(seconds: number = this.lease): Promise<void> {
    if (this.#over) throw new LeaseLost("the delivery was settled before");
    const asked = performance.now();
    try {
      await this.settler.settle(this.message.queue, this.#verdict("extend", { duration: seconds }));
    } catch (error) {
      if (error instanceof LeaseLost) this.lose(error.message);
      throw error;
    }
    this.#until = asked + seconds * 1000;
    this.#plan();
  }

  /** The lease is known to be lost. */
  lose(why: string): void {
    if (this.#over) return;
    this.#finish();
    this.#lost.abort(new LeaseLost(why));
  }

  #end(outcome: Outcome, options: Partial<Settlement>): Promise<void> {
    if (this.#lost.signal.aborted) return Promise.reject(this.#lost.signal.reason as LeaseLost);
    if (this.#settled) {
      return Promise.reject(new SupersoniqError("settled", "this delivery was settled before"));
    }
    this.#settled = this.settler
      .settle(this.message.queue, this.#verdict(outcome, options))
      .then(() => undefined)
      .finally(() => this.#finish());
    clearTimeout(this.#timer);
    return this.#settled;
  }

  #verdict(outcome: Outcome, options: Partial<Settlement>): Settlement {
    return { ...options, receipt: this.receipt, outcome };
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.done(this);
  }

  /** Extend at a third of the lease, and know when it is over. */
  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#over || this.#settled) return;
    const left = this.#until - performance.now();
    if (left <= 0) {
      this.lose("the lease is over, and could not be extended in time");
      return;
    }
    const next = Math.min(left, Math.max(left - (2 * this.lease * 1000) / 3, 50));
    this.#timer = setTimeout(() => {
      if (performance.now() >= this.#until) {
        this.#plan();
        return;
      }
      this.extend().catch(() => this.#plan()); // tried again until the lease is over
    }, next);
  }
}
