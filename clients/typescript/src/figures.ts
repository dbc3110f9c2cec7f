/** The figures of all queues at once: what a page that shows them asks for every other second. */

import type { Connection } from "./connection.js";
import { fromProblem } from "./errors.js";
import type { Session } from "./session.js";
import type { Problem, QueueStats } from "./types.js";

type Operation = { op: string; queue?: string };
type Result = { ok?: unknown; error?: Problem };

/** Operations in one frame. */
const MOST = 500;
/** Of one queue, and no reason to fail all: it was deleted meanwhile, or no more than its name may be known. */
const ITS_OWN = new Set(["queue-not-found", "permission-denied"]);

export async function figures(connection: Connection): Promise<Record<string, QueueStats>> {
  const session = await connection.session();
  if (!session) return (await connection.http.call("GET", "/stats")) as Record<string, QueueStats>;
  const [told] = await operations(session, [{ op: "queues" }]);
  const names = unwrapped(told) as string[];
  const found: Record<string, QueueStats> = {};
  for (let at = 0; at < names.length; ) {
    const some = names.slice(at, at + MOST);
    const results = await operations(session, some.map((queue) => ({ op: "stats", queue })));
    for (const [place, result] of results.entries()) {
      if (result.error && ITS_OWN.has(result.error.code)) continue;
      found[some[place] as string] = unwrapped(result) as QueueStats;
    }
    at += Math.max(results.length, 1); // there may be fewer than were asked for
  }
  return found;
}

async function operations(session: Session, asked: Operation[]): Promise<Result[]> {
  const { results } = await session.request({ type: "operations", operations: asked });
  return results as Result[];
}

function unwrapped(result: Result | undefined): unknown {
  if (!result?.error) return result?.ok;
  throw fromProblem({ ...result.error, retry: result.error.retry ?? false });
}
