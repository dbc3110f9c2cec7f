/** Settlements that are made at the same time travel together; each has a verdict of its own. */

import type { Connection } from "./connection.js";
import { fromProblem, type SupersoniqError } from "./errors.js";
import type { Problem } from "./types.js";

export type Outcome = "ack" | "nack" | "release" | "reject" | "extend";

export interface Settlement {
  readonly receipt: string;
  readonly outcome: Outcome;
  readonly delay?: number;
  readonly reason?: string;
  readonly duration?: number;
}

export interface Verdict {
  readonly ok: boolean;
  readonly deadline?: number;
  readonly problem?: Problem;
}

interface Waiting {
  settlement: Settlement;
  resolve(verdict: Verdict): void;
  reject(error: unknown): void;
}

const MOST = 1000;

export class Settler {
  #lines = new Map<string, Waiting[]>();

  constructor(private readonly connection: Connection) {}

  /** Settle; rejects with `LeaseLost`, or `OutcomeUnknown`. */
  settle(queue: string, settlement: Settlement): Promise<Verdict> {
    return this.connection.persist(true, () => this.#once(queue, settlement));
  }

  #once(queue: string, settlement: Settlement): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      const line = this.#lines.get(queue);
      const waiting = { settlement, resolve, reject };
      if (line && line.length < MOST) {
        line.push(waiting);
        return;
      }
      const fresh = [waiting];
      this.#lines.set(queue, fresh);
      queueMicrotask(() => {
        if (this.#lines.get(queue) === fresh) this.#lines.delete(queue);
        void this.#carry(queue, fresh);
      });
    });
  }

  async #carry(queue: string, line: Waiting[]): Promise<void> {
    const settlements = line.map((waiting) => waiting.settlement);
    try {
      const session = await this.connection.session();
      const verdicts = session
        ? (await session.request({ type: "settle", queue, settlements })).verdicts
        : await this.connection.http.call("POST", `/queues/${queue}/settlements`, settlements);
      for (const [place, waiting] of line.entries()) {
        const verdict = (verdicts as Verdict[])[place];
        if (verdict?.ok) waiting.resolve(verdict);
        else waiting.reject(fromProblem(verdict?.problem as Problem));
      }
    } catch (error) {
      for (const waiting of line) waiting.reject(error as SupersoniqError);
    }
  }
}
