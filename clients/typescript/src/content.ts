/** Bytes do not fit into JSON: they travel as base64, and everything else as it is. */

import { SupersoniqError } from "./errors.js";
import type { Content, Draft, Message, QueueEvent } from "./types.js";

export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** An envelope as the server takes it. */
export function envelope(draft: Draft): Record<string, unknown> {
  const { content, contentType, ...rest } = draft;
  const found: Record<string, unknown> = { ...rest };
  if (contentType !== undefined) found.content_type = contentType;
  if (content instanceof Uint8Array) found.content_base64 = base64(content);
  else if (content instanceof ArrayBuffer) found.content_base64 = base64(new Uint8Array(content));
  else if (content === undefined || typeof content === "function" || typeof content === "symbol") {
    throw new SupersoniqError("invalid-argument", `content: a ${typeof content} cannot be sent`);
  } else found.content = content;
  return found;
}

/** A message, an event's message or a delivery's, as the server sends it. */
export type RawMessage = Record<string, unknown>;

export function message(raw: RawMessage): Message {
  const content: Content =
    "content_base64" in raw ? bytes(raw.content_base64 as string) : raw.content;
  return {
    id: raw.id as string,
    queue: raw.queue as string,
    content,
    contentType: raw.content_type as string,
    headers: (raw.headers ?? {}) as Record<string, string>,
    sender: (raw.sender ?? null) as string | null,
    recipient: (raw.recipient ?? null) as string | null,
    priority: (raw.priority ?? 0) as number,
    key: (raw.key ?? null) as string | null,
    createdAt: raw.created_at as number,
    availableAt: raw.available_at as number,
    expiresAt: (raw.expires_at ?? null) as number | null,
    status: raw.status as Message["status"],
    deliveries: raw.deliveries as number,
    reason: (raw.reason ?? null) as string | null,
  };
}

export function event(raw: Record<string, unknown>): QueueEvent {
  const about = raw.message as RawMessage | null | undefined;
  return {
    offset: raw.offset as number,
    kind: raw.kind as QueueEvent["kind"],
    at: (raw.at ?? null) as number | null,
    message: about ? message(about) : null,
  };
}
