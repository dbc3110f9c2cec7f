/** One WebSocket, from its welcome to its end: requests with their answers, and what comes of subscriptions. */
import { fromProblem, OutcomeUnknown, SupersoniqError, Unavailable } from "./errors.js";
const SILENCE = 20_000;
const PATIENCE = 10_000;
const FINAL = new Set([4400, 4401, 4403, 1008, 1009]);
export class Session {
    socket;
    welcome;
    ended;
    alive = true;
    #next = 1;
    #pending = new Map();
    #listeners = new Map();
    #farewell = null;
    #end;
    #watchdog;
    #asked = false;
    constructor(socket, welcome) {
        this.socket = socket;
        this.welcome = welcome;
        this.ended = new Promise((resolve) => (this.#end = resolve));
        socket.onmessage = ((event) => this.#read(event.data));
        socket.onclose = ((event) => this.#close(event));
        this.#wind();
        // The server waits only so long for the first frame.
        this.request({ type: "ping" }).catch(() => undefined);
    }
    /** Connect and be welcomed. Rejects with `Unavailable`; nothing is left open then. */
    static open(url, protocols, kind, timeout) {
        return new Promise((resolve, reject) => {
            let socket;
            try {
                socket = new kind(url, protocols);
            }
            catch (error) {
                reject(new SupersoniqError("invalid-setting", `url = ${url}: ${String(error)}`));
                return;
            }
            let refused = null;
            const timer = setTimeout(() => {
                socket.close();
                fail(`${url} does not answer within ${timeout} s`);
            }, timeout * 1000);
            const fail = (why) => {
                clearTimeout(timer);
                socket.onmessage = socket.onclose = socket.onerror = null;
                if (refused && !refused.retry)
                    reject(new SupersoniqError("permission-denied", why));
                else
                    reject(new Unavailable(why, refused?.retryAfter ?? null));
            };
            // A close with its code follows at once, but not in every runtime.
            socket.onerror = (() => setTimeout(() => fail(`the WebSocket ${url} cannot be opened`), 0));
            socket.onclose = ((event) => {
                if (FINAL.has(event.code))
                    refused = { ...event, retry: false, retryAfter: 0 };
                fail(`the WebSocket ${url} cannot be opened (${event.code} ${event.reason})`);
            });
            socket.onmessage = ((event) => {
                const frame = parsed(event.data);
                if (frame?.type === "bye")
                    refused = farewell(frame);
                if (frame?.type !== "welcome" || frame.server !== "supersoniq")
                    return;
                clearTimeout(timer);
                resolve(new Session(socket, frame));
            });
        });
    }
    /** Send a frame; its `ok`. Rejects with the server's error, or `OutcomeUnknown` if the connection ends first. */
    request(frame, listener) {
        if (!this.alive)
            return Promise.reject(new Unavailable("the connection has ended"));
        const id = this.#next++;
        return new Promise((resolve, reject) => {
            this.#pending.set(id, { resolve, reject, listener });
            this.socket.send(JSON.stringify({ ...frame, id }));
        });
    }
    /** Hear no more of a subscription. */
    forget(subscription) {
        this.#listeners.delete(subscription);
    }
    close() {
        this.socket.close(1000);
        this.#close({ code: 1000, reason: "closed here" });
    }
    #read(data) {
        const frame = parsed(data);
        this.#wind();
        if (!frame)
            return;
        if (frame.type === "bye")
            this.#farewell = farewell(frame);
        else if (typeof frame.id === "number")
            this.#answer(frame.id, frame);
        else if (typeof frame.subscription === "number") {
            const listener = this.#listeners.get(frame.subscription);
            if (frame.type === "error")
                this.#listeners.delete(frame.subscription);
            listener?.(frame);
        }
    }
    #answer(id, frame) {
        const pending = this.#pending.get(id);
        if (!pending)
            return;
        this.#pending.delete(id);
        if (frame.type === "error") {
            pending.reject(fromProblem(frame.problem));
            return;
        }
        // Before the next frame is read: it may already be for this subscription.
        if (pending.listener)
            this.#listeners.set(frame.subscription, pending.listener);
        pending.resolve(frame);
    }
    #close(event) {
        if (!this.alive)
            return;
        this.alive = false;
        clearTimeout(this.#watchdog);
        const lost = new OutcomeUnknown(`the connection ended before the answer (${event.code} ${event.reason})`);
        for (const pending of this.#pending.values())
            pending.reject(lost);
        this.#pending.clear();
        const listeners = [...this.#listeners.values()];
        this.#listeners.clear();
        for (const listener of listeners)
            listener(null);
        const { code, reason } = event;
        this.#end(this.#farewell ?? { code, reason, retry: !FINAL.has(code), retryAfter: 0 });
    }
    /** A connection on which nothing comes, not even the answer to a ping, is dead: nobody else would say so. */
    #wind() {
        clearTimeout(this.#watchdog);
        if (!this.alive)
            return;
        this.#asked = false;
        const bark = () => {
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
function parsed(data) {
    if (typeof data !== "string")
        return null;
    try {
        const frame = JSON.parse(data);
        return typeof frame === "object" && frame !== null ? frame : null;
    }
    catch {
        return null;
    }
}
function farewell(frame) {
    return {
        code: frame.code,
        reason: String(frame.reason),
        retry: frame.retry === true,
        retryAfter: typeof frame.retry_after === "number" ? frame.retry_after : 0,
    };
}
