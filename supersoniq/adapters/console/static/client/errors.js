/** A failure, told by its stable `code`: those of docs/http.md, and `closed`, `timeout` of this client itself. */
export class SupersoniqError extends Error {
    code;
    retry;
    retryAfter;
    data;
    name = "SupersoniqError";
    constructor(code, message, 
    /** Whether the very same call can succeed later. */
    retry = false, 
    /** Seconds until then, where the server says so. */
    retryAfter = null, data = {}) {
        super(message);
        this.code = code;
        this.retry = retry;
        this.retryAfter = retryAfter;
        this.data = data;
    }
}
/** The call was sent and its answer never came: it may or may not have been done. */
export class OutcomeUnknown extends SupersoniqError {
    name = "OutcomeUnknown";
    constructor(message) {
        super("outcome-unknown", message, true);
    }
}
/** The message is, or was, somebody else's: drop the work. */
export class LeaseLost extends SupersoniqError {
    name = "LeaseLost";
    constructor(message) {
        super("lease-lost", message);
    }
}
/** Certainly not done. */
export class Unavailable extends SupersoniqError {
    name = "Unavailable";
    constructor(message, retryAfter = null) {
        super("backend-unavailable", message, true, retryAfter);
    }
}
export function fromProblem(problem) {
    const { code, detail, status, retry, retry_after: after, data } = problem;
    if (code === "outcome-unknown")
        return new OutcomeUnknown(detail);
    if (code === "lease-lost")
        return new LeaseLost(detail);
    if (status === 503 && retry)
        return new Unavailable(detail, after ?? null);
    return new SupersoniqError(code, detail, retry, after ?? null, data ?? {});
}
