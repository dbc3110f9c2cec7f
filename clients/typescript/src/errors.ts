import type { Problem } from "./types.js";

/** A failure, told by its stable `code`: those of docs/http.md, and `closed`, `timeout` of this client itself. */
export class SupersoniqError extends Error {
  override readonly name: string = "SupersoniqError";

  constructor(
    readonly code: string,
    message: string,
    /** Whether the very same call can succeed later. */
    readonly retry: boolean = false,
    /** Seconds until then, where the server says so. */
    readonly retryAfter: number | null = null,
    readonly data: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

/** The call was sent and its answer never came: it may or may not have been done. */
export class OutcomeUnknown extends SupersoniqError {
  override readonly name = "OutcomeUnknown";

  constructor(message: string) {
    super("outcome-unknown", message, true);
  }
}

/** The message is, or was, somebody else's: drop the work. */
export class LeaseLost extends SupersoniqError {
  override readonly name = "LeaseLost";

  constructor(message: string) {
    super("lease-lost", message);
  }
}

/** Certainly not done. */
export class Unavailable extends SupersoniqError {
  override readonly name = "Unavailable";

  constructor(message: string, retryAfter: number | null = null) {
    super("backend-unavailable", message, true, retryAfter);
  }
}

export function fromProblem(problem: Problem): SupersoniqError {
  const { code, detail, status, retry, retry_after: after, data } = problem;
  if (code === "outcome-unknown") return new OutcomeUnknown(detail);
  if (code === "lease-lost") return new LeaseLost(detail);
  if (status === 503 && retry) return new Unavailable(detail, after ?? null);
  return new SupersoniqError(code, detail, retry, after ?? null, data ?? {});
}
