/**
 * Taking work: deliveries as they come, never more unsettled than the credit.
 *
 * Over a WebSocket the server counts the credit, and releases everything when the connection ends: so those deliveries
 * are lost then. Over HTTP the credit is counted here, and leases outlive a connection.
 */
import { sleep } from "./connection.js";
import { Delivery, Reject } from "./delivery.js";
import { SupersoniqError, Unavailable } from "./errors.js";
/** What a queue that does not exist yet is asked for. */
const LEASE = 30;
/** Seconds that one request over HTTP waits. */
const WAIT = 20;
export class Work {
    connection;
    settler;
    queue;
    #credit;
    #recipient;
    #stop = new AbortController();
    #held = new Set();
    #ready = [];
    #waiting = [];
    #lease;
    #failure = null;
    #ended = false;
    #freed = () => undefined;
    #running;
    constructor(connection, settler, queue, options) {
        this.connection = connection;
        this.settler = settler;
        this.queue = queue;
        const { credit = 1, lease, recipient, signal } = options;
        if (!Number.isInteger(credit) || credit < 1) {
            throw new SupersoniqError("invalid-argument", `credit = ${credit}: takes an integer of 1 or more`);
        }
        if (lease !== undefined && !(lease >= 0.1 && lease <= 43_200)) {
            throw new SupersoniqError("invalid-argument", `lease = ${lease}: takes seconds from 0.1 to 43,200`);
        }
        this.#credit = credit;
        this.#lease = lease;
        this.#recipient = recipient;
        const leave = () => this.#stop.abort();
        if (signal?.aborted)
            leave();
        else
            signal?.addEventListener("abort", leave, { once: true });
        this.#running = this.#run()
            .catch((error) => {
            this.#failure = error;
        })
            .finally(() => {
            signal?.removeEventListener("abort", leave);
            this.#finish();
        });
    }
    [Symbol.asyncIterator]() {
        return this;
    }
    next() {
        const delivery = this.#ready.shift();
        if (delivery)
            return Promise.resolve({ done: false, value: delivery });
        if (this.#failure) {
            const error = this.#failure;
            this.#failure = null;
            return Promise.reject(error);
        }
        if (this.#ended)
            return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    }
    /** Take no more, give back what nobody has in hand. What is in hand stays so: settle it. */
    async return() {
        this.#stop.abort();
        await this.#running;
        return { done: true, value: undefined };
    }
    async #run() {
        const { signal } = this.#stop;
        while (!signal.aborted) {
            try {
                this.#lease ??= await this.#length();
                const session = await this.connection.session();
                if (signal.aborted)
                    return;
                await (session ? this.#subscribe(session) : this.#poll(signal));
            }
            catch (error) {
                if (signal.aborted)
                    return;
                if (!(error instanceof SupersoniqError && error.retry))
                    throw error;
                await sleep(1000 * (error.retryAfter ?? 0.5 + Math.random() / 2), signal);
            }
        }
    }
    /** Of the queue's leases, which must be known to extend them in time. */
    async #length() {
        try {
            const found = await this.connection.http.call("GET", `/queues/${this.queue}`, undefined, this.#stop.signal);
            return found.policy.lease;
        }
        catch (error) {
            if (error instanceof SupersoniqError && ["queue-not-found", "permission-denied"].includes(error.code))
                return LEASE;
            throw error;
        }
    }
    /** Work over a WebSocket until it ends, or we do. */
    async #subscribe(session) {
        const { signal } = this.#stop;
        const ours = new Set();
        let end = () => undefined;
        const ended = new Promise((resolve) => (end = resolve));
        const frame = {
            type: "subscribe", queue: this.queue, mode: "work", credit: this.#credit, lease: this.#lease, recipient: this.#recipient,
        };
        const { subscription } = await session.request(frame, (told) => {
            if (told === null) {
                for (const delivery of ours)
                    delivery.lose("the connection ended, and the server released the message");
                end(null);
            }
            else if (told.type === "error")
                end(new Unavailable("the subscription ended"));
            else if (told.type === "deliver") {
                for (const raw of told.messages)
                    this.#arrive(raw, ours);
            }
        });
        const leave = () => end(null);
        if (signal.aborted)
            leave();
        else
            signal.addEventListener("abort", leave, { once: true });
        const error = await ended;
        signal.removeEventListener("abort", leave);
        if (signal.aborted && session.alive) {
            // Until it is answered, more may come, which is given back with the rest.
            await session.request({ type: "unsubscribe", subscription }).catch(() => undefined);
            session.forget(subscription);
        }
        if (error)
            throw error;
    }
    /** Work over HTTP until a WebSocket can be tried again, or we end. */
    async #poll(signal) {
        const free = this.#credit - this.#held.size;
        if (free <= 0) {
            await new Promise((resolve) => {
                this.#freed = resolve;
                signal.addEventListener("abort", () => resolve(), { once: true });
            });
            return;
        }
        const asked = { limit: free, wait: WAIT, lease: this.#lease, recipient: this.#recipient };
        const found = await this.connection.http.call("POST", `/queues/${this.queue}/leases`, asked, signal);
        for (const raw of found)
            this.#arrive(raw, null);
    }
    #arrive(raw, group) {
        const delivery = new Delivery(raw, this.#lease, this.settler, (over) => {
            this.#held.delete(over);
            group?.delete(over);
            const place = this.#ready.indexOf(over);
            if (place >= 0)
                this.#ready.splice(place, 1); // lost before anybody had it
            this.#freed();
        });
        this.#held.add(delivery);
        group?.add(delivery);
        const waiting = this.#waiting.shift();
        if (waiting)
            waiting.resolve({ done: false, value: delivery });
        else
            this.#ready.push(delivery);
    }
    #finish() {
        this.#ended = true;
        for (const delivery of this.#ready.splice(0))
            delivery.release().catch(() => undefined);
        for (const waiting of this.#waiting.splice(0)) {
            if (this.#failure) {
                waiting.reject(this.#failure);
                this.#failure = null;
            }
            else
                waiting.resolve({ done: true, value: undefined });
        }
    }
}
export class Worker {
    /** Settles when the worker has ended: rejects if it could not go on. */
    done;
    #work;
    constructor(work, handler, onError) {
        this.#work = work;
        this.done = this.#run(handler, onError);
        this.done.catch(() => undefined); // whoever wants to know awaits it
    }
    /** Take no more, and wait until what is in hand is done. */
    async stop() {
        await this.#work.return();
        await this.done;
    }
    async #run(handler, onError) {
        const busy = new Set();
        try {
            for await (const delivery of this.#work) {
                const one = this.#handle(delivery, handler, onError).finally(() => busy.delete(one));
                busy.add(one);
            }
        }
        finally {
            await Promise.all(busy);
        }
    }
    async #handle(delivery, handler, onError) {
        try {
            try {
                await handler(delivery);
            }
            catch (error) {
                onError(error, delivery);
                const reason = (error instanceof Error ? error.message || error.name : String(error)).slice(0, 1000);
                if (!delivery.settled)
                    await (error instanceof Reject ? delivery.reject(reason) : delivery.nack({ reason }));
                return;
            }
            if (!delivery.settled)
                await delivery.ack();
        }
        catch (error) {
            onError(error, delivery); // settled by the handler already, or the lease is lost
        }
    }
}
