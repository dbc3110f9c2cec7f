/** Calls over HTTP, by `fetch`, and streams of server-sent events. */
import { fromProblem, OutcomeUnknown, SupersoniqError, Unavailable } from "./errors.js";
export class Http {
    token;
    fetcher;
    /** The app's address, without a slash at its end. */
    base;
    constructor(url, token, fetcher) {
        this.token = token;
        this.fetcher = fetcher;
        this.base = url.replace(/\/+$/, "");
    }
    /** The token to show just now. */
    async bearer() {
        if (this.token === undefined)
            return null;
        const token = typeof this.token === "string" ? this.token : await this.token();
        if (/^[\w.-]+$/.test(token))
            return token;
        throw new SupersoniqError("authentication-failed", "that is no token: takes three parts of base64url and two dots");
    }
    /**
     * Call; the JSON of the answer, `null` where it has none. Rejects with the server's error; with `Unavailable` if
     * the call was certainly not done, `OutcomeUnknown` if nobody can tell.
     */
    async call(method, path, body, signal) {
        const answer = await this.#send(method, path, body, signal, "application/json");
        try {
            return answer.status === 204 ? null : await answer.json();
        }
        catch (error) {
            throw this.#lost(method, error, signal);
        }
    }
    /** The events of a stream, as they come: `null` at each sign of life that is no event. Ends when the server does. */
    async *events(path, signal, last) {
        const more = last === null ? {} : { "last-event-id": String(last) };
        const answer = await this.#send("GET", path, undefined, signal, "text/event-stream", more);
        if (!answer.body)
            throw new Unavailable("the stream has no body");
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        let data = "";
        try {
            for (;;) {
                const { done, value } = await reader.read();
                if (done)
                    return;
                const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
                rest = lines.pop() ?? "";
                for (const line of lines) {
                    if (line.startsWith("data:"))
                        data += line.slice(line[5] === " " ? 6 : 5) + "\n";
                    else if (line === "" && data) {
                        yield JSON.parse(data);
                        data = "";
                    }
                }
            }
        }
        catch (error) {
            throw this.#lost("GET", error, signal);
        }
        finally {
            reader.cancel().catch(() => undefined);
        }
    }
    async #send(method, path, body, signal, accept, more = {}) {
        const headers = { accept, ...more };
        const bearer = await this.bearer();
        if (bearer !== null)
            headers.authorization = `Bearer ${bearer}`;
        const init = { method, headers, cache: "no-store", redirect: "error" };
        if (signal)
            init.signal = signal;
        if (body !== undefined) {
            headers["content-type"] = "application/json";
            init.body = JSON.stringify(body);
        }
        let answer;
        try {
            answer = await this.fetcher(this.base + path, init);
        }
        catch (error) {
            throw this.#lost(method, error, signal);
        }
        if (!answer.ok)
            throw await failure(answer);
        return answer;
    }
    #lost(method, error, signal) {
        if (signal?.aborted)
            return signal.reason instanceof Error ? signal.reason : new Error("aborted");
        if (error instanceof SupersoniqError)
            return error;
        const cause = error.cause?.code ?? "";
        const why = `${this.base}: ${String(error)}${cause && ` (${cause})`}`;
        const unsent = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"].includes(cause);
        return unsent || method === "GET" ? new Unavailable(why) : new OutcomeUnknown(why);
    }
}
async function failure(answer) {
    try {
        const problem = (await answer.json());
        if (typeof problem.code === "string")
            return fromProblem(problem);
    }
    catch {
        // No problem document: somebody between us and the server answers.
    }
    const why = `the server answers ${answer.status} ${answer.statusText}`;
    if (answer.status === 502 || answer.status === 503)
        return new Unavailable(why);
    if (answer.status >= 500)
        return new OutcomeUnknown(why);
    return new SupersoniqError("http", why);
}
