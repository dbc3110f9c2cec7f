/** Settlements that are made at the same time travel together; each has a verdict of its own. */
import { fromProblem } from "./errors.js";
const MOST = 1000;
export class Settler {
    connection;
    #lines = new Map();
    constructor(connection) {
        this.connection = connection;
    }
    /** Settle; rejects with `LeaseLost`, or `OutcomeUnknown`. */
    settle(queue, settlement) {
        return this.connection.persist(true, () => this.#once(queue, settlement));
    }
    #once(queue, settlement) {
        return new Promise((resolve, reject) => {
            const line = this.#lines.get(queue);
            const waiting = { settlement, resolve, reject };
            if (line && line.length < MOST) {
                line.push(waiting);
                return;
            }
            const fresh = [waiting];
            this.#lines.set(queue, fresh);
            queueMicrotask(() => {
                if (this.#lines.get(queue) === fresh)
                    this.#lines.delete(queue);
                void this.#carry(queue, fresh);
            });
        });
    }
    async #carry(queue, line) {
        const settlements = line.map((waiting) => waiting.settlement);
        try {
            const session = await this.connection.session();
            const verdicts = session
                ? (await session.request({ type: "settle", queue, settlements })).verdicts
                : await this.connection.http.call("POST", `/queues/${queue}/settlements`, settlements);
            for (const [place, waiting] of line.entries()) {
                const verdict = verdicts[place];
                if (verdict?.ok)
                    waiting.resolve(verdict);
                else
                    waiting.reject(fromProblem(verdict?.problem));
            }
        }
        catch (error) {
            for (const waiting of line)
                waiting.reject(error);
        }
    }
}
