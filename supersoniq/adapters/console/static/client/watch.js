/** Watching: every event to every watcher, resumed where it broke off. */
import { sleep } from "./connection.js";
import { event } from "./content.js";
import { fromProblem, SupersoniqError } from "./errors.js";
/** Events that wait to be taken before the reader is found too slow and resumes from the store instead. */
const MOST = 10_000;
export async function* watch(connection, queue, options) {
    const stop = new AbortController();
    const leave = () => stop.abort();
    if (options.signal?.aborted)
        leave();
    options.signal?.addEventListener("abort", leave, { once: true });
    let last = options.since ?? null;
    try {
        while (!stop.signal.aborted) {
            try {
                const session = await connection.session();
                const source = session
                    ? overSocket(session, queue, last, options.kinds, stop.signal)
                    : overHttp(connection, queue, last, options.kinds, stop.signal);
                for await (const told of source) {
                    last = told.offset;
                    if (told.kind !== "start")
                        yield told;
                }
            }
            catch (error) {
                if (stop.signal.aborted)
                    return;
                if (!(error instanceof SupersoniqError && error.retry))
                    throw error;
            }
            await sleep(100 + Math.random() * 900, stop.signal);
        }
    }
    finally {
        stop.abort();
        options.signal?.removeEventListener("abort", leave);
    }
}
/** Until the connection ends. */
async function* overSocket(session, queue, since, kinds, signal) {
    const told = [];
    let failure = null;
    let over = false;
    let wake = () => undefined;
    const frame = { type: "subscribe", queue, mode: "broadcast", kinds };
    if (since !== null)
        frame.since = since;
    const ok = await session.request(frame, (news) => {
        if (over)
            return;
        if (news === null)
            over = true;
        else if (news.type === "error") {
            over = true;
            failure = fromProblem(news.problem);
        }
        else if (news.type === "event") {
            for (const raw of news.events)
                told.push(event(raw));
            over = told.length > MOST; // what comes after is asked for again
        }
        wake();
    });
    const subscription = ok.subscription;
    const start = ok.offset;
    const leave = () => wake();
    signal.addEventListener("abort", leave, { once: true });
    try {
        yield { offset: start, kind: ok.missed ? "gap" : "start", at: null, message: null };
        for (;;) {
            const next = told.shift();
            if (next)
                yield next;
            else if (over || signal.aborted)
                break;
            else
                await new Promise((resolve) => (wake = resolve));
        }
        if (failure)
            throw failure;
    }
    finally {
        signal.removeEventListener("abort", leave);
        session.forget(subscription);
        if (session.alive)
            session.request({ type: "unsubscribe", subscription }).catch(() => undefined);
    }
}
async function* overHttp(connection, queue, since, kinds, signal) {
    const query = kinds ? `?kinds=${kinds.join(",")}` : "";
    for await (const raw of connection.http.events(`/queues/${queue}/events${query}`, signal, since)) {
        if (raw.kind === "error")
            throw fromProblem(raw.problem);
        yield event(raw);
    }
}
