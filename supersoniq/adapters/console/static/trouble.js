/** What is wrong with a queue, since when, and what mends it: from its figures alone. */

import { count, many, rate, span } from "./format.js";

const MINUTE = 60_000;
/** Milliseconds of ready messages that nobody takes before it is worth a word, and a sample or two of them. */
const IDLE = 15_000;
const GLANCE = 1500;

/**
 * Troubles of a queue, the worst first. Each has a `kind`, a `level` (`bad` or `warn`), a sentence, and what is to be done:
 * `redrive`, `resume`, `dead` or `ready` to look at such messages.
 */
export function troubles(track) {
  const { stats } = track;
  if (!stats) return [];
  const found = [];
  const tell = (level, kind, text, ...mend) => found.push({ level, kind, text, mend });

  if (stats.dead) {
    const grown = track.grown("dead", 5 * MINUTE);
    const more = grown && grown.by > 0 ? `, ${count(grown.by)} of them in the last ${span(grown.in)}` : "";
    tell("bad", "dead", `${many(stats.dead, "dead message")}${more}`, "dead", "redrive");
  }
  if (stats.corrupt) tell("bad", "corrupt", `${many(stats.corrupt, "message")} failed the checksum: look at the disk`);
  if (stats.paused) {
    const until = stats.paused_until === null ? "until it is resumed" : `for another ${span(stats.paused_until - Date.now())}`;
    const waiting = stats.ready ? `, with ${many(stats.ready, "message")} waiting` : "";
    tell("warn", "paused", `Paused ${until}${waiting}`, "resume");
  } else if (stats.ready) {
    const still = Math.min(track.still("leases"), track.still("acked"));
    const waited = track.oldest === null ? 0 : Date.now() - track.oldest;
    if (!stats.leased && (still >= IDLE || (still >= GLANCE && waited > MINUTE))) {
      tell("bad", "idle", `${many(stats.ready, "message")} ready, and nobody takes ${stats.ready === 1 ? "it" : "them"}`, "ready");
    } else {
      const [into, out] = [track.rate("published", MINUTE), track.rate("acked", MINUTE)];
      const grown = track.grown("ready", MINUTE);
      if (grown && grown.in >= IDLE && grown.by > 10 && into > 1.2 * out) {
        tell("warn", "behind", `Consumers fall behind: ${rate(into)} a second come in, ${rate(out)} are done`, "ready");
      }
    }
  }
  const [failed, leases] = [track.grown("failed", MINUTE), track.grown("leases", MINUTE)];
  if (failed?.by > 0) {
    const lapsed = track.grown("lapsed", MINUTE).by;
    const share = Math.min(failed.by / Math.max(leases.by, 1), 1);
    if (failed.by > 2 && share > 0.1) {
      tell("warn", "failing", `${Math.round(100 * share)}% of the deliveries of the last ${span(failed.in)} failed`);
    }
    if (lapsed > 0) tell("warn", "lapsing", `${many(lapsed, "lease")} lapsed: a consumer died, or is too slow`);
  }
  return found;
}

/** A queue in one word. */
export function condition(track, found) {
  if (!track.stats) return { level: "none", word: "not to be seen" };
  const [worst] = found;
  if (!worst && track.stats.ready && !track.stats.leased && !track.rate("leases")) return { level: "none", word: "waiting" };
  if (!worst) return { level: "good", word: track.stats.ready || track.stats.leased || track.rate("leases") ? "working" : "idle" };
  const words = { dead: "dead letters", corrupt: "corrupt", paused: "paused", idle: "stuck", behind: "behind", failing: "failing", lapsing: "lapsing" };
  const kinds = found.map(({ kind }) => kind);
  const kind = kinds.includes("idle") ? "idle" : kinds.includes("paused") ? "paused" : worst.kind;
  return { level: found.find((each) => each.kind === kind).level, word: words[kind] };
}
