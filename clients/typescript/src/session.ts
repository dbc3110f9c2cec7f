/** One WebSocket, from its welcome to its end: requests with their answers, and what comes of subscriptions. */

import { fromProblem, OutcomeUnknown, SupersoniqError, Unavailable } from "./errors.js";
import type { Problem } from "./types.js";

export type Frame = Record<string, unknown>;
/** Gets the frames of a subscription; `null` when the connection has ended. */
export type Listener = (frame: Frame | null) => void;

export interface Farewell {
  readonly code: number;
  readonly reason: string;
  /** Whether coming back can help, and after how many seconds at the earliest. */
  readonly retry: boolean;
  readonly retryAfter: number;
}

export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}
export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

interface Pending {
  resolve(frame: Frame): void;
  reject(error: SupersoniqError): void;
  listener: Listener | undefined;
}

const SILENCE = 20_000;
const PATIENCE = 10_000;
const FINAL = new Set([4400, 4401, 4403, 1008, 1009]);

export class Session {
  readonly ended: Promise<Farewell>;
  alive = true;
  #next = 1;
  #pending = new Map<number, Pending>();
  #listeners = new Map<number, Listener>();
  #farewell: Farewell | null = null;
  #end!: (farewell: Farewell) => void;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #asked = false;

  private constructor(
    private readonly socket: WebSocketLike,
    readonly welcome: Frame,
  ) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    socket.onmessage = ((event: { data: unknown }) => this.#read(event.data)) as never;
    socket.onclose = ((event: { code: number; reason: string }) => this.#close(event)) as never;
    this.#wind();
    // The server waits only so long for the first frame.
    this.request({ type: "ping" }).catch(() => undefined);
  }

  /** Connect and be welcomed. Rejects with `Unavailable`; nothing is left open then. */
  static open(url: string, protocols: string[], kind: WebSocketClass, timeout: number): Promise<Session> {
    return new Promise((resolve, reject) => {
      let socket: WebSocketLike;
      try {
        socket = new kind(url, protocols);
      } catch (error) {
        reject(new SupersoniqError("invalid-setting", `url = ${url}: ${String(error)}`));
        return;
      }
      let refused: Farewell | null = null;
      const timer = setTimeout(() => {
        socket.close();
        fail(`${url} does not answer within ${timeout} s`);
      }, timeout * 1000);
      const fail = (why: string): void => {
        clearTimeout(timer);
        socket.onmessage = socket.onclose = socket.onerror = null;
        if (refused && !refused.retry) reject(new SupersoniqError("permission-denied", why));
        else reject(new Unavailable(why, refused?.retryAfter ?? null));
      };
      // A close with its code follows at once, but not in every runtime.
      socket.onerror = (() => setTimeout(() => fail(`the WebSocket ${url} cannot be opened`), 0)) as never;
      socket.onclose = ((event: { code: number; reason: string }) => {
        if (FINAL.has(event.code)) refused = { ...event, retry: false, retryAfter: 0 };
        fail(`the WebSocket ${url} cannot be opened (${event.code} ${event.reason})`);
      }) as never;
      socket.onmessage = ((event: { data: unknown }) => {
        const frame = parsed(event.data);
        if (frame?.type === "bye") refused = farewell(frame);
        if (frame?.type !== "welcome" || frame.server !== "supersoniq") return;
        clearTimeout(timer);
        resolve(new Session(socket, frame));
      }) as never;
    });
  }

  /** Send a frame; its `ok`. Rejects with the server's error, or `OutcomeUnknown` if the connection ends first. */
  request(frame: Frame, listener?: Listener): Promise<Frame> {
    if (!this.alive) return Promise.reject(new Unavailable("the connection has ended"));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, listener });
      this.socket.send(JSON.stringify({ ...frame, id }));
    });
  }

  /** Hear no more of a subscription. */
  forget(subscription: number): void {
    this.#listeners.delete(subscription);
  }

  close(): void {
    this.socket.close(1000);
    this.#close({ code: 1000, reason: "closed here" });
  }

  #read(data: unknown): void {
    const frame = parsed(data);
    this.#wind();
    if (!frame) return;
    if (frame.type === "bye") this.#farewell = farewell(frame);
    else if (typeof frame.id === "number") this.#answer(frame.id, frame);
    else if (typeof frame.subscription === "number") {
      const listener = this.#listeners.get(frame.subscription);
      if (frame.type === "error") this.#listeners.delete(frame.subscription);
      listener?.(frame);
    }
  }

  #answer(id: number, frame: Frame): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    if (frame.type === "error") {
      pending.reject(fromProblem(frame.problem as Problem));
      return;
    }
    // Before the next frame is read: it may already be for this subscription.
    if (pending.listener) this.#listeners.set(frame.subscription as number, pending.listener);
    pending.resolve(frame);
  }

  #close(event: { code: number; reason: string }): void {
    if (!this.alive) return;
    this.alive = false;
    clearTimeout(this.#watchdog);
    const lost = new OutcomeUnknown(`the connection ended before the answer (${event.code} ${event.reason})`);
    for (const pending of this.#pending.values()) pending.reject(lost);
    this.#pending.clear();
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const listener of listeners) listener(null);
    const { code, reason } = event;
    this.#end(this.#farewell ?? { code, reason, retry: !FINAL.has(code), retryAfter: 0 });
  }

  /** A connection on which nothing comes, not even the answer to a ping, is dead: nobody else would say so. */
  #wind(): void {
    clearTimeout(this.#watchdog);
    if (!this.alive) return;
    this.#asked = false;
    const bark = (): void => {
      if (this.#asked) {
        this.socket.close();
        this.#close({ code: 1006, reason: "silence" });
        return;
      }
      this.#asked = true;
      this.#watchdog = setTimeout(bark, PATIENCE);
      this.request({ type: "ping" }).catch(() => undefined);
    };
    this.#watchdog = setTimeout(bark, SILENCE);
  }
}

function parsed(data: unknown): Frame | null {
  if (typeof data !== "string") return null;
  try {
    const frame: unknown = JSON.parse(data);
    return typeof frame === "object" && frame !== null ? (frame as Frame) : null;
  } catch {
    return null;
  }
}

function farewell(frame: Frame): Farewell {
  return {
    code: frame.code as number,
    reason: String(frame.reason),
    retry: frame.retry === true,
    retryAfter: typeof frame.retry_after === "number" ? frame.retry_after : 0,
  };
}
