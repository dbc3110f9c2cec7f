/** Why messages are dead, and how long the ready ones have waited: a look at the oldest of them, now and then. */

import { age, clock, count } from "./format.js";

const FIRST = 20;
/** Milliseconds until it is looked again, if there is something new. */
const AGAIN = 15_000;
/** A store may have to pass over all other messages to find them. */
const TOO_MANY = 200_000;
/** Looks at the same time. */
const AT_ONCE = 4;

export class Causes {
  #known = new Map();
  #looking = 0;

  /** `told` is called when there is more to say. */
  constructor(broker, rights, told) {
    this.broker = broker;
    this.rights = rights;
    this.told = told;
  }

  /** After each sample: where messages are ready and nobody has one in hand, how long they have waited. */
  sampled(tracks) {
    for (const track of tracks) {
      const { stats } = track;
      if (stats?.ready && !stats.leased && !stats.paused) this.of(track, "ready");
    }
  }

  /** What can be said of a queue's `dead` or `ready` messages just now. */
  of(track, status) {
    const { name, stats } = track;
    const place = `${name} ${status}`;
    const known = this.#known.get(place) ?? { at: -Infinity, count: -1, text: () => "" };
    this.#known.set(place, known);
    const others = stats.ready + stats.scheduled + stats.leased + stats.done + stats.dead - stats[status];
    const due = performance.now() - known.at > AGAIN && (known.count !== stats[status] || status === "ready");
    if (due && others < TOO_MANY && this.#looking < AT_ONCE && this.rights.may("browse", name)) {
      known.at = performance.now();
      known.count = stats[status];
      void this.#look(track, status, known);
    }
    return known.text();
  }

  async #look(track, status, known) {
    const { name } = track;
    this.#looking++;
    try {
      const limit = status === "dead" ? FIRST : 1;
      const found = await this.broker.queue(name).browse({ status, limit, content: "base64" });
      known.text = found.length ? (status === "dead" ? died(found) : waited(found[0])) : () => "";
      if (status === "ready") track.oldest = found[0]?.availableAt ?? null;
      this.told();
    } catch {
      // The figures' own feed tells what is wrong.
    } finally {
      this.#looking--;
    }
  }
}

/** Sentences that stay true while time goes by. */
function died(found) {
  const reasons = new Map();
  for (const { reason } of found) reasons.set(reason ?? "no reason", (reasons.get(reason ?? "no reason") ?? 0) + 1);
  const [[most, times], ...others] = [...reasons].sort(([, a], [, b]) => b - a);
  const share = others.length ? ` (${count(times)} of the oldest ${count(found.length)})` : "";
  return () => `${most}${share}. The oldest was published ${age(Date.now() - found[0].createdAt)} ago.`;
}

function waited({ availableAt }) {
  return () => `The oldest has been ready since ${clock(availableAt)}, ${age(Date.now() - availableAt)} ago.`;
}
