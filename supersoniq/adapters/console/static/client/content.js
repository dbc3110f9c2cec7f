/** Bytes do not fit into JSON: they travel as base64, and everything else as it is. */
import { SupersoniqError } from "./errors.js";
export function base64(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length; at += 0x8000) {
        text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    }
    return btoa(text);
}
function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
/** An envelope as the server takes it. */
export function envelope(draft) {
    const { content, contentType, ...rest } = draft;
    const found = { ...rest };
    if (contentType !== undefined)
        found.content_type = contentType;
    if (content instanceof Uint8Array)
        found.content_base64 = base64(content);
    else if (content instanceof ArrayBuffer)
        found.content_base64 = base64(new Uint8Array(content));
    else if (content === undefined || typeof content === "function" || typeof content === "symbol") {
        throw new SupersoniqError("invalid-argument", `content: a ${typeof content} cannot be sent`);
    }
    else
        found.content = content;
    return found;
}
export function message(raw) {
    const content = "content_base64" in raw ? bytes(raw.content_base64) : raw.content;
    return {
        id: raw.id,
        queue: raw.queue,
        content,
        contentType: raw.content_type,
        headers: (raw.headers ?? {}),
        sender: (raw.sender ?? null),
        recipient: (raw.recipient ?? null),
        priority: (raw.priority ?? 0),
        key: (raw.key ?? null),
        createdAt: raw.created_at,
        availableAt: raw.available_at,
        expiresAt: (raw.expires_at ?? null),
        status: raw.status,
        deliveries: raw.deliveries,
        reason: (raw.reason ?? null),
    };
}
export function event(raw) {
    const about = raw.message;
    return {
        offset: raw.offset,
        kind: raw.kind,
        at: (raw.at ?? null),
        message: about ? message(about) : null,
    };
}
