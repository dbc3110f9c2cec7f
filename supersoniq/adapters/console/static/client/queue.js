import { envelope, message } from "./content.js";
import { SupersoniqError } from "./errors.js";
import { watch } from "./watch.js";
import { Work, Worker } from "./work.js";
export class Queue {
    name;
    connection;
    settler;
    #path;
    constructor(name, connection, settler) {
        this.name = name;
        this.connection = connection;
        this.settler = settler;
        if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) {
            throw new SupersoniqError("invalid-name", `queue = ${JSON.stringify(name)}: takes 1 to 128 of A-Z a-z 0-9 . _ -`);
        }
        this.#path = `/queues/${name}`;
    }
    /** Store a message; makes the queue. When it is answered, the message is stored. */
    async publish(content, options = {}) {
        const [published] = await this.publishMany([{ ...options, content }]);
        return published;
    }
    /** Store messages, all of them or none. */
    async publishMany(drafts) {
        const messages = drafts.map(envelope);
        const repeatable = drafts.every((draft) => draft.key !== undefined);
        return this.connection.persist(repeatable, async () => {
            const session = await this.connection.session();
            const stored = session
                ? (await session.request({ type: "publish", queue: this.name, messages })).published
                : await this.connection.http.call("POST", `${this.#path}/messages`, messages);
            return stored;
        });
    }
    /** Deliveries as they come, to settle one by one. Ends by `signal`, or when the loop is left. */
    work(options = {}) {
        return new Work(this.connection, this.settler, this.name, options);
    }
    /** Have messages handled: done when the handler returns, again later when it throws, dead when it throws `Reject`. */
    consume(handler, options = {}) {
        const { concurrency = 1, onError = complain, ...rest } = options;
        return new Worker(this.work({ ...rest, credit: concurrency }), handler, onError);
    }
    /** Every event from now on, or after `since`, through lost connections. A `gap` says that some are lost. */
    watch(options = {}) {
        return watch(this.connection, this.name, options);
    }
    /** Messages in the order of publishing; takes no lease. */
    async browse(options = {}) {
        const query = new URLSearchParams();
        for (const [name, value] of Object.entries(options))
            query.set(name, String(value));
        const found = await this.#get(`/messages?${query.toString()}`);
        return found.map(message);
    }
    async get(id, options = {}) {
        const query = options.content === undefined ? "" : `?content=${options.content}`;
        return message((await this.#get(`/messages/${encodeURIComponent(id)}${query}`)));
    }
    /** A sentence that says why a message is not being delivered. */
    async explain(id) {
        const found = await this.#get(`/messages/${encodeURIComponent(id)}/explanation`);
        return found.explanation;
    }
    /** Take a message back that nobody holds. */
    async cancel(id) {
        await this.connection.http.call("DELETE", `${this.#path}/messages/${encodeURIComponent(id)}`);
    }
    async stats() {
        return (await this.#get("/stats"));
    }
    async describe() {
        return (await this.#get(""));
    }
    /** Change fields of the policy; makes the queue. */
    async configure(changes) {
        return (await this.connection.http.call("PUT", this.#path, changes));
    }
    /** Give no leases: until `resume`, or for so many seconds. */
    async pause(seconds) {
        await this.#post("/pause", seconds === undefined ? undefined : { duration: seconds });
    }
    async resume() {
        await this.#post("/resume");
    }
    /** Drop all messages of a status, or all that are scheduled, ready or dead; how many. */
    async purge(status) {
        const found = await this.#post("/purge", status === undefined ? {} : { status });
        return found.purged;
    }
    /** Make dead messages ready again: these, or any, up to `limit`; how many. */
    async redrive(options = {}) {
        return (await this.#post("/redrive", options)).redriven;
    }
    /** Drop the queue and all it holds. */
    async delete() {
        await this.connection.http.call("DELETE", this.#path);
    }
    #get(path) {
        return this.connection.persist(true, () => this.connection.http.call("GET", this.#path + path));
    }
    #post(path, body) {
        return this.connection.http.call("POST", this.#path + path, body);
    }
}
function complain(error, delivery) {
    console.error(`message ${delivery.message.id} of ${delivery.message.queue}:`, error);
}
