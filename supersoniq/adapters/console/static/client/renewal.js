/** A connection ends when its token does: so the next one is asked for before that, and shown on the same connection. */
/** The longest that a timer can be set to. */
const FAR = 2 ** 31 - 1;
/** Milliseconds before the end at which the next token is asked for, if the token lives long enough. */
const MARGIN = 60_000;
/** Milliseconds between two tries, at least; beyond the end twice that, and so on up to `MARGIN`. */
const LEAST = 100;
/** When a JSON Web Token expires, in ms since the Unix epoch; `null` if it does not say. */
export function expiry(token) {
    try {
        const [, claims = ""] = token.split(".");
        const told = JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")));
        return typeof told.exp === "number" ? told.exp * 1000 : null;
    }
    catch {
        return null;
    }
}
/**
 * Keep a connection's token new, for as long as the connection lives.
 *
 * The next one is asked for a minute before the end, or at half of what is left if that is less. What asking
 * or showing it fails with is not told: it is tried again at half of what is then left, and so on until the end.
 * Beyond it, as our clock may be wrong, ever more seldom, until the server closes the connection and says what is wrong.
 */
export function keepRenewed(session, first, ask) {
    let shown = first;
    let late = 0;
    let timer;
    const plan = (ends) => {
        if (!session.alive || ends === null)
            return;
        const left = ends - Date.now();
        late = left > 0 ? 0 : late + 1;
        const least = late ? Math.min(LEAST * 2 ** late, MARGIN) : LEAST;
        const wait = Math.max(left - Math.min(MARGIN, left / 2), least);
        timer = setTimeout(() => {
            if (wait > FAR)
                plan(ends);
            else
                void renew(ends);
        }, Math.min(wait, FAR));
    };
    const renew = async (ends) => {
        let until = ends;
        try {
            const next = await ask();
            if (next !== null && next !== shown) {
                const { expires_at: told } = await session.request({ type: "renew", token: next });
                shown = next;
                until = typeof told === "number" ? told : expiry(next);
            }
        }
        catch {
            // The old one holds still.
        }
        plan(until);
    };
    void session.ended.then(() => clearTimeout(timer));
    plan(expiry(first));
}
