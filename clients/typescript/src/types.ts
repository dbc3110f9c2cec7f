/** What travels, as the server's docs/http.md and docs/websocket.md have it. Durations are seconds, instants ms since the Unix epoch. */

export type Status = "scheduled" | "ready" | "leased" | "done" | "dead" | "dropped";

export type EventKind =
  | "published" | "due" | "leased" | "acked" | "nacked" | "released" | "rejected" | "extended"
  | "lapsed" | "expired" | "cancelled" | "redriven" | "purged" | "forgotten" | "corrupted";

/** JSON, text, or bytes: bytes come and go as a `Uint8Array`, text as a string, everything else as JSON. */
export type Content = unknown;

export interface PublishOptions {
  /** -32768 to 32767; higher is sooner; 0. */
  priority?: number;
  /** Seconds until it is ready; 0. */
  delay?: number;
  /** Seconds until it expires; never. */
  ttl?: number;
  /** Publishing it again within the queue's `dedup_window` stores nothing. A publish with a key is repeated when the network fails. */
  key?: string;
  sender?: string;
  /** Only a consumer that asks as this recipient gets the message. */
  recipient?: string;
  headers?: Record<string, string>;
  /** By default what fits the content. */
  contentType?: string;
}

export interface Draft extends PublishOptions {
  content: Content;
}

export interface Published {
  readonly id: string;
  /** The key was known: nothing was stored, and `id` is the first message's. */
  readonly duplicate: boolean;
  readonly durability: "memory" | "os" | "disk" | "replicated";
}

export interface Message {
  readonly id: string;
  readonly queue: string;
  readonly content: Content;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sender: string | null;
  readonly recipient: string | null;
  readonly priority: number;
  readonly key: string | null;
  readonly createdAt: number;
  readonly availableAt: number;
  readonly expiresAt: number | null;
  readonly status: Status;
  readonly deliveries: number;
  /** Why it is dead, or what its last failure said. */
  readonly reason: string | null;
}

export interface QueueEvent {
  readonly offset: number;
  /** `gap`: what lies before its offset is lost. */
  readonly kind: EventKind | "gap";
  readonly at: number | null;
  readonly message: Message | null;
}

export interface LookOptions {
  /** `"base64"`: the exact bytes of every content, as a `Uint8Array`, whatever its type; `"auto"`. */
  content?: "auto" | "base64";
}

export interface BrowseOptions extends LookOptions {
  status?: Status;
  /** At most so many; 100. */
  limit?: number;
  /** Go on after this message. */
  after?: string;
}

/** How a queue treats its messages, stored with it. Durations are seconds. */
export interface Policy {
  /** How long a delivery is held unless the consumer asks otherwise: 0.1 to 43,200; 30. */
  readonly lease: number;
  /** Deliveries after which a message that fails is dead; 0 is no limit; 10. */
  readonly max_deliveries: number;
  /** The pause after a failure, where `nack` names none: `initial`, times `factor` with each, at most `maximum`. */
  readonly backoff: { readonly initial: number; readonly factor: number; readonly maximum: number; readonly jitter: number };
  /** For how long a key is remembered; 300. */
  readonly dedup_window: number;
  readonly keep_done: number;
  readonly keep_dead: number;
  /** Unfinished messages that the queue may hold; `null` is any number. */
  readonly max_length: number | null;
  /** Bytes; 1 MiB. */
  readonly max_content: number;
  readonly on_expiry: "drop" | "dead";
}

/** Any of a policy's fields; of `backoff` too. */
export type PolicyChanges = { readonly [Field in keyof Policy]?: Field extends "backoff" ? Partial<Policy[Field]> : Policy[Field] };

/** What a queue holds just now, by status, and all that has happened to its messages since it was made. */
export interface QueueStats {
  readonly queue: string;
  readonly scheduled: number;
  readonly ready: number;
  readonly leased: number;
  readonly done: number;
  readonly dead: number;
  readonly published: number;
  readonly duplicates: number;
  readonly leases: number;
  readonly acked: number;
  readonly nacked: number;
  readonly released: number;
  readonly rejected: number;
  readonly lapsed: number;
  /** Settlements refused, since the lease was over. */
  readonly stale: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly purged: number;
  /** Dead ones dropped after `keep_dead`. */
  readonly forgotten: number;
  readonly redriven: number;
  readonly corrupt: number;
  readonly paused: boolean;
  readonly paused_until: number | null;
  /** Since when the oldest ready message is ready; of `broker.stats()` alone, where HTTP carries it. */
  readonly oldest_ready?: number | null;
}

export interface QueueInfo {
  readonly queue: string;
  readonly policy: Policy;
  readonly stats: QueueStats;
}

/** What the server says of a failure (RFC 9457). */
export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly status: number;
  readonly retry: boolean;
  readonly retry_after?: number;
  readonly data?: Record<string, unknown>;
}
