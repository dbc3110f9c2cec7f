/** A message in hand, until it is settled or its lease is lost. */
import { message } from "./content.js";
import { LeaseLost, SupersoniqError } from "./errors.js";
/** Thrown by a handler: nobody can do this message; it is dead at once. */
export class Reject extends Error {
    name = "Reject";
}
export class Delivery {
    lease;
    settler;
    done;
    message;
    /** Counts the deliveries of the message, from 1. */
    attempt;
    receipt;
    #lost = new AbortController();
    #timer;
    #until;
    #settled = null;
    #over = false;
    /** Made by the client, with the length of its lease in seconds. */
    constructor(raw, lease, settler, done) {
        this.lease = lease;
        this.settler = settler;
        this.done = done;
        this.message = message(raw);
        this.attempt = raw.attempt;
        this.receipt = raw.receipt;
        this.#until = performance.now() + lease * 1000;
        this.#plan();
    }
    /** Aborted when the lease is lost: the message is, or will be, somebody else's. Its reason is a `LeaseLost`. */
    get signal() {
        return this.#lost.signal;
    }
    /** Whether it was settled, or lost. */
    get settled() {
        return this.#over;
    }
    /** Done. */
    ack() {
        return this.#end("ack", {});
    }
    /** Failed: again after `delay` seconds (by default the queue's backoff), or dead at its `max_deliveries`. */
    nack(options = {}) {
        return this.#end("nack", options);
    }
    /** Given back untried, not counted. */
    release(options = {}) {
        return this.#end("release", options);
    }
    /** Dead at once. */
    reject(reason) {
        return this.#end("reject", reason === undefined ? {} : { reason });
    }
    /** Hold it for so many seconds from now. It is done by itself at a third of the lease, for as long as nobody settles. */
    async extend(seconds = this.lease) {
        if (this.#over)
            throw new LeaseLost("the delivery was settled before");
        const asked = performance.now();
        try {
            await this.settler.settle(this.message.queue, this.#verdict("extend", { duration: seconds }));
        }
        catch (error) {
            if (error instanceof LeaseLost)
                this.lose(error.message);
            throw error;
        }
        this.#until = asked + seconds * 1000;
        this.#plan();
    }
    /** The lease is known to be lost. */
    lose(why) {
        if (this.#over)
            return;
        this.#finish();
        this.#lost.abort(new LeaseLost(why));
    }
    #end(outcome, options) {
        if (this.#lost.signal.aborted)
            return Promise.reject(this.#lost.signal.reason);
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
    #verdict(outcome, options) {
        return { ...options, receipt: this.receipt, outcome };
    }
    #finish() {
        if (this.#over)
            return;
        this.#over = true;
        clearTimeout(this.#timer);
        this.done(this);
    }
    /** Extend at a third of the lease, and know when it is over. */
    #plan() {
        clearTimeout(this.#timer);
        if (this.#over || this.#settled)
            return;
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
