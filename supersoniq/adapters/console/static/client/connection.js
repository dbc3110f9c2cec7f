/** The way to a server: a WebSocket while there can be one, HTTP where there is none, and coming back after either fails. */
import { LeaseLost, OutcomeUnknown, SupersoniqError, Unavailable } from "./errors.js";
import { Http } from "./http.js";
import { keepRenewed } from "./renewal.js";
import { Session } from "./session.js";
/** Seconds after which a WebSocket is tried again where there was none. */
const DETOUR = 60;
export class Connection {
    http;
    patience;
    closed = false;
    #kind;
    #timeout;
    #current = null;
    #session = null;
    /** Until when (performance.now) there is no use in trying a WebSocket. */
    #detour = 0;
    #notBefore = 0;
    #refused = null;
    constructor(url, options) {
        const { patience = 5, connectTimeout = 5, webSocket, token, fetch: fetcher } = options;
        for (const [name, value] of Object.entries({ patience, connectTimeout })) {
            if (!(value >= 0 && value <= 3600)) {
                throw new SupersoniqError("invalid-setting", `${name} = ${value}: takes seconds from 0 to 3600`);
            }
        }
        let base;
        try {
            base = new URL(url.replace(/^ws/, "http"), globalThis.location?.href);
        }
        catch {
            throw new SupersoniqError("invalid-setting", `url = ${url}: is no URL`);
        }
        if (!/^https?:$/.test(base.protocol) || base.search || base.hash || base.username) {
            throw new SupersoniqError("invalid-setting", `url = ${url}: takes http(s)://host/prefix, without a query`);
        }
        this.http = new Http(base.href, token, fetcher ?? ((...call) => fetch(...call)));
        this.patience = patience;
        this.#timeout = connectTimeout;
        const native = globalThis.WebSocket ?? null;
        this.#kind = webSocket === false ? null : (webSocket ?? native);
    }
    /** The WebSocket, opened if there is none; `null` where HTTP must do. Rejects with `Unavailable`. */
    session() {
        if (this.closed)
            return Promise.reject(new SupersoniqError("closed", "the broker is closed"));
        if (this.#refused)
            return Promise.reject(this.#refused);
        this.#current ??= this.#connect().catch((error) => {
            this.#current = null;
            throw error;
        });
        return this.#current;
    }
    /**
     * Do something until it is answered or patience is over. What was certainly not done is tried again; what may have
     * been done only if it is `repeatable`.
     */
    async persist(repeatable, once) {
        const until = performance.now() + this.patience * 1000;
        let doubt = null;
        for (let pause = 100;; pause = Math.min(2 * pause, 1000)) {
            try {
                return await once();
            }
            catch (error) {
                if (error instanceof OutcomeUnknown) {
                    if (!repeatable)
                        throw error;
                    doubt = error;
                }
                else if (doubt && error instanceof LeaseLost) {
                    throw new OutcomeUnknown(`it was sent before, and now: ${error.message}`);
                }
                else if (!(error instanceof Unavailable))
                    throw error;
                if (this.closed || performance.now() + pause > until)
                    throw doubt ?? error;
                await sleep(pause * (0.5 + Math.random() / 2));
            }
        }
    }
    async close() {
        this.closed = true;
        this.#session?.close();
        await this.#current?.then((session) => session?.close()).catch(() => undefined);
    }
    async #connect() {
        if (!this.#kind || performance.now() < this.#detour) {
            this.#current = null; // asked anew each time: it costs nothing
            return null;
        }
        if (performance.now() < this.#notBefore)
            await sleep(this.#notBefore - performance.now());
        const bearer = await this.http.bearer();
        const protocols = ["supersoniq.v1.json", ...(bearer === null ? [] : [`bearer.${bearer}`])];
        let session;
        try {
            session = await Session.open(`${this.http.base.replace(/^http/, "ws")}/ws`, protocols, this.#kind, this.#timeout);
        }
        catch (error) {
            if (!(error instanceof Unavailable))
                throw error;
            // A browser does not say why. If it is the token, HTTP tells. If HTTP works, something between here and there has no
            // WebSockets.
            await this.http.call("GET", "/queues").catch((reason) => {
                throw reason instanceof Unavailable || reason instanceof OutcomeUnknown ? error : reason;
            });
            this.#detour = performance.now() + DETOUR * 1000;
            this.#current = null;
            return null;
        }
        this.#session = session;
        void session.ended.then((farewell) => {
            this.#current = this.#session = null;
            this.#notBefore = performance.now() + farewell.retryAfter * 1000;
            if (!farewell.retry && farewell.code !== 1000) {
                const code = farewell.code === 4401 ? "authentication-failed" : "permission-denied";
                // A token that is asked for may be a better one next time.
                if (farewell.code !== 4401)
                    this.#refused = new SupersoniqError(code, `the server closed: ${farewell.reason}`);
            }
        });
        if (bearer !== null)
            keepRenewed(session, bearer, () => this.http.bearer());
        if (this.closed)
            session.close();
        return session;
    }
}
export function sleep(milliseconds, signal) {
    return new Promise((resolve) => {
        const timer = setTimeout(done, milliseconds);
        function done() {
            clearTimeout(timer);
            signal?.removeEventListener("abort", done);
            resolve();
        }
        if (signal?.aborted)
            done();
        else
            signal?.addEventListener("abort", done);
    });
}
