/**
 * A client of the SupersoniQ message queue, for browsers and Node.
 *
 *     const broker = connect("https://queue.example");
 *     await broker.queue("emails").publish({ to: "ada@example.com" }, { priority: 5 });
 *     const worker = broker.queue("emails").consume(async ({ message }) => send(message.content));
 */
import { Connection } from "./connection.js";
import { figures } from "./figures.js";
import { Queue } from "./queue.js";
import { Settler } from "./settling.js";
export class Broker {
    #connection;
    #settler;
    constructor(url, options = {}) {
        this.#connection = new Connection(url, options);
        this.#settler = new Settler(this.#connection);
    }
    queue(name = "default") {
        return new Queue(name, this.#connection, this.#settler);
    }
    /** The names of all queues, sorted. */
    async queues() {
        const found = await this.#connection.persist(true, () => this.#connection.http.call("GET", "/queues"));
        return found;
    }
    /** The figures of all queues whose figures may be seen, by name. */
    async stats() {
        return this.#connection.persist(true, () => figures(this.#connection));
    }
    /** How calls travel just now. Rejects if the server cannot be reached. */
    async transport() {
        return (await this.#connection.session()) ? "websocket" : "http";
    }
    /** End: what is unsettled is released by the server. Stop workers first. */
    close() {
        return this.#connection.close();
    }
}
/** A broker at a server's address: `http(s)://host/prefix`. It connects when it is first used. */
export function connect(url, options = {}) {
    return new Broker(url, options);
}
export { Delivery, Reject } from "./delivery.js";
export { LeaseLost, OutcomeUnknown, SupersoniqError, Unavailable } from "./errors.js";
export { Queue } from "./queue.js";
export { Work, Worker } from "./work.js";
