/** The figures of all queues at once: what a page that shows them asks for every other second. */
import { fromProblem } from "./errors.js";
/** Operations in one frame. */
const MOST = 500;
/** Of one queue, and no reason to fail all: it was deleted meanwhile, or no more than its name may be known. */
const ITS_OWN = new Set(["queue-not-found", "permission-denied"]);
export async function figures(connection) {
    const session = await connection.session();
    if (!session)
        return (await connection.http.call("GET", "/stats"));
    const [told] = await operations(session, [{ op: "queues" }]);
    const names = unwrapped(told);
    const found = {};
    for (let at = 0; at < names.length;) {
        const some = names.slice(at, at + MOST);
        const results = await operations(session, some.map((queue) => ({ op: "stats", queue })));
        for (const [place, result] of results.entries()) {
            if (result.error && ITS_OWN.has(result.error.code))
                continue;
            found[some[place]] = unwrapped(result);
        }
        at += Math.max(results.length, 1); // there may be fewer than were asked for
    }
    return found;
}
async function operations(session, asked) {
    const { results } = await session.request({ type: "operations", operations: asked });
    return results;
}
function unwrapped(result) {
    if (!result?.error)
        return result?.ok;
    throw fromProblem({ ...result.error, retry: result.error.retry ?? false });
}
