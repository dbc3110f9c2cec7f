import type { Connection } from "./connection.js";
import { envelope, message, type RawMessage } from "./content.js";
import type { Delivery } from "./delivery.js";
import { SupersoniqError } from "./errors.js";
import type { Settler } from "./settling.js";
import type {
  BrowseOptions, Content, Draft, LookOptions, Message, PolicyChanges, Published, PublishOptions, QueueEvent, QueueInfo, QueueStats, Status,
} from "./types.js";
import { watch, type WatchOptions } from "./watch.js";
import { type Handler, Work, Worker, type WorkOptions } from "./work.js";

export interface ConsumeOptions extends Omit<WorkOptions, "credit"> {
  /** Messages that are handled at the same time; 1. */
  concurrency?: number;
  /** Told of a handler's error, and of a settlement that failed; by default they go to the console. */
  onError?: (error: unknown, delivery: Delivery) => void;
}

export class Queue {
  readonly #path: string;

  constructor(
    readonly name: string,
    private readonly connection: Connection,
    private readonly settler: Settler,
  ) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) {
      throw new SupersoniqError("invalid-name", `queue = ${JSON.stringify(name)}: takes 1 to 128 of A-Z a-z 0-9 . _ -`);
    }
    this.#path = `/queues/${name}`;
  }

  /** Store a message; makes the queue. When it is answered, the message is stored. */
  async publish(content: Content, options: PublishOptions = {}): Promise<Published> {
    const [published] = await this.publishMany([{ ...options, content }]);
    return published as Published;
  }

  /** Store messages, all of them or none. */
  async publishMany(drafts: readonly Draft[]): Promise<Published[]> {
    const messages = drafts.map(envelope);
    const repeatable = drafts.every((draft) => draft.key !== undefined);
    return this.connection.persist(repeatable, async () => {
      const session = await this.connection.session();
      const stored = session
        ? (await session.request({ type: "publish", queue: this.name, messages })).published
        : await this.connection.http.call("POST", `${this.#path}/messages`, messages);
      return stored as Published[];
    });
  }

  /** Deliveries as they come, to settle one by one. Ends by `signal`, or when the loop is left. */
  work(options: WorkOptions = {}): Work {
    return new Work(this.connection, this.settler, this.name, options);
  }

  /** Have messages handled: done when the handler returns, again later when it throws, dead when it throws `Reject`. */
  consume(handler: Handler, options: ConsumeOptions = {}): Worker {
    const { concurrency = 1, onError = complain, ...rest } = options;
    return new Worker(this.work({ ...rest, credit: concurrency }), handler, onError);
  }

  /** Every event from now on, or after `since`, through lost connections. A `gap` says that some are lost. */
  watch(options: WatchOptions = {}): AsyncGenerator<QueueEvent, void, undefined> {
    return watch(this.connection, this.name, options);
  }

  /** Messages in the order of publishing; takes no lease. */
  async browse(options: BrowseOptions = {}): Promise<Message[]> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options)) query.set(name, String(value));
    const found = await this.#get(`/messages?${query.toString()}`);
    return (found as RawMessage[]).map(message);
  }

  async get(id: string, options: LookOptions = {}): Promise<Message> {
    const query = options.content === undefined ? "" : `?content=${options.content}`;
    return message((await this.#get(`/messages/${encodeURIComponent(id)}${query}`)) as RawMessage);
  }

  /** A sentence that says why a message is not being delivered. */
  async explain(id: string): Promise<string> {
    const found = await this.#get(`/messages/${encodeURIComponent(id)}/explanation`);
    return (found as { explanation: string }).explanation;
  }

  /** Take a message back that nobody holds. */
  async cancel(id: string): Promise<void> {
    await this.connection.http.call("DELETE", `${this.#path}/messages/${encodeURIComponent(id)}`);
  }

  async stats(): Promise<QueueStats> {
    return (await this.#get("/stats")) as QueueStats;
  }

  async describe(): Promise<QueueInfo> {
    return (await this.#get("")) as QueueInfo;
  }

  /** Change fields of the policy; makes the queue. */
  async configure(changes: PolicyChanges): Promise<QueueInfo> {
    return (await this.connection.http.call("PUT", this.#path, changes)) as QueueInfo;
  }

  /** Give no leases: until `resume`, or for so many seconds. */
  async pause(seconds?: number): Promise<void> {
    await this.#post("/pause", seconds === undefined ? undefined : { duration: seconds });
  }

  async resume(): Promise<void> {
    await this.#post("/resume");
  }

  /** Drop all messages of a status, or all that are scheduled, ready or dead; how many. */
  async purge(status?: Status): Promise<number> {
    const found = await this.#post("/purge", status === undefined ? {} : { status });
    return (found as { purged: number }).purged;
  }

  /** Make dead messages ready again: these, or any, up to `limit`; how many. */
  async redrive(options: { ids?: string[]; limit?: number } = {}): Promise<number> {
    return ((await this.#post("/redrive", options)) as { redriven: number }).redriven;
  }

  /** Drop the queue and all it holds. */
  async delete(): Promise<void> {
    await this.connection.http.call("DELETE", this.#path);
  }

  #get(path: string): Promise<unknown> {
    return this.connection.persist(true, () => this.connection.http.call("GET", this.#path + path));
  }

  #post(path: string, body?: unknown): Promise<unknown> {
    return this.connection.http.call("POST", this.#path + path, body);
  }
}

function complain(error: unknown, delivery: Delivery): void {
  console.error(`message ${delivery.message.id} of ${delivery.message.queue}:`, error);
}
