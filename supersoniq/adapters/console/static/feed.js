/** The figures of all queues, asked for every other second over the client's connection, and what they were. */

const EVERY = 2000;
const KEPT = 150; // five minutes
/** Seconds over which a rate that is shown as a number is taken. */
const SMOOTH = 10_000;

/** What is counted as a failure: a consumer said so, or was not heard of again. */
const failures = (stats) => stats.nacked + stats.rejected + stats.lapsed;

/** One queue, and how it was at the last samples. */
export class Track {
  constructor(name) {
    this.name = name;
    this.stats = null;
    this.points = [];
    /** Since when the oldest ready message is ready, where it was looked at; see causes.js. */
    this.oldest = null;
  }

  add(at, stats) {
    const last = this.points.at(-1);
    if (last && stats.published < last.published) this.points = []; // deleted, and made anew
    this.stats = stats;
    if (!stats.ready || stats.leased) this.oldest = null;
    const { ready, leased, scheduled, dead, published, acked, leases, lapsed } = stats;
    this.points.push({ at, ready, leased, scheduled, dead, published, acked, leases, lapsed, failed: failures(stats) });
    if (this.points.length > KEPT) this.points.shift();
  }

  /** How much a counter has grown within so many milliseconds, and in how many it did. */
  grown(field, within = SMOOTH) {
    const last = this.points.at(-1);
    const first = this.points.find(({ at }) => last.at - at <= within + EVERY / 2);
    return first && first !== last ? { by: last[field] - first[field], in: last.at - first.at } : null;
  }

  /** How much it grows in a second; `null` while nobody knows. */
  rate(field, within = SMOOTH) {
    const grown = this.grown(field, within);
    return grown && (1000 * Math.max(grown.by, 0)) / grown.in;
  }

  /** Since when a counter has stood still, as far as was seen. */
  still(field) {
    const last = this.points.at(-1);
    const moved = this.points.findLastIndex((point) => point[field] !== last[field]);
    return last.at - this.points[moved + 1].at;
  }
}

export class Feed {
  /** `changed` is called after every sample, and after every failure to get one. */
  constructor(broker, changed) {
    this.broker = broker;
    this.tracks = new Map();
    /** `connecting`, `live`, `lost` or `refused`. */
    this.state = "connecting";
    this.error = null;
    this.lostAt = null;
    this.transport = null;
    this.count = 0;
    this.#changed = changed;
    this.#loop();
  }

  #changed;
  #stopped = false;
  #wake = () => {};

  /** Ask now: something was done. */
  hurry() {
    this.#wake();
  }

  stop() {
    this.#stopped = true;
    this.#wake();
  }

  async #loop() {
    while (!this.#stopped) {
      const began = performance.now();
      try {
        await this.#sample();
        this.state = "live";
        this.error = this.lostAt = null;
      } catch (error) {
        this.state = ["authentication-failed", "permission-denied"].includes(error.code) ? "refused" : "lost";
        this.error = error;
        this.lostAt ??= Date.now();
      }
      if (this.#stopped) return;
      this.#changed();
      if (this.state === "refused") return; // with this token it will be so again, and failures are counted
      const took = performance.now() - began;
      await this.#pause(Math.max(EVERY - took, 4 * took, 0));
    }
  }

  async #sample() {
    // Names that may be known without their figures: what the token may only publish to, say.
    const asked = this.count++ % 5 === 0 ? this.broker.queues() : null;
    const [figures, names] = await Promise.all([this.broker.stats(), asked]);
    const at = performance.now();
    for (const [name, stats] of Object.entries(figures)) {
      if (!this.tracks.has(name)) this.tracks.set(name, new Track(name));
      this.tracks.get(name).add(at, stats);
    }
    for (const name of names ?? []) if (!this.tracks.has(name)) this.tracks.set(name, new Track(name));
    for (const [name, track] of this.tracks) {
      const gone = track.stats ? !(name in figures) : names && !names.includes(name);
      if (gone) this.tracks.delete(name);
    }
    this.transport = await this.broker.transport();
  }

  /** In a page that nobody sees nothing is asked for. */
  async #pause(milliseconds) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    while (document.hidden && !this.#stopped) {
      await new Promise((resolve) => {
        this.#wake = resolve;
        document.addEventListener("visibilitychange", resolve, { once: true });
      });
    }
  }
}
