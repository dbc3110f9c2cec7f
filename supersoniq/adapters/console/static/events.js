/** What happens to a queue's messages, as it happens: kept while its page is open, without contents. */

import { button, h, keyed, say } from "./dom.js";
import { clock, count } from "./format.js";

export const KINDS = [
  "published", "due", "leased", "acked", "nacked", "released", "rejected", "extended", "lapsed", "expired", "cancelled", "redriven",
  "purged", "forgotten", "corrupted",
];
const KEPT = 2000;
const SHOWN = 200;
/** Events in a second up to which they are followed unasked: each of them is sent here. */
const BUSY = 200;

export class EventLog {
  events = [];
  #stop = null;

  /** `told` is called when there are more. */
  constructor(queue, told) {
    this.queue = queue;
    this.told = told;
    this.error = null;
    /** Whether it was followed by itself, once. */
    this.asked = false;
    /** Whether somebody asked to follow: then however much there is. */
    this.wanted = false;
    /** Whether what the server still knew from before was asked for, too. */
    this.whole = false;
  }

  get following() {
    return this.#stop !== null;
  }

  /** Follow from now on; with `earlier`, also what the server still knows. */
  async follow(earlier = false) {
    this.stop();
    const stop = (this.#stop = new AbortController());
    this.error = null;
    if (earlier) {
      this.wanted = true;
      this.events = [];
      this.whole = true;
    }
    try {
      const options = { kinds: KINDS, signal: stop.signal, ...(earlier ? { since: 0 } : {}) };
      for await (const event of this.queue.watch(options)) this.#add(event);
    } catch (error) {
      this.error = error;
    }
    if (this.#stop === stop) this.#stop = null;
    this.told();
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
  }

  /** What is known of one message, the oldest first. */
  of(id) {
    return this.events.filter((event) => event.id === id);
  }

  #add({ offset, kind, at, message }) {
    const { id = null, deliveries = null, reason = null, priority = null } = message ?? {};
    this.events.push({ offset, kind, at, id, deliveries, reason, priority });
    if (this.events.length > 1.1 * KEPT) this.events.splice(0, this.events.length - KEPT);
    this.told();
  }
}

/** How busy a queue is: events in a second. */
export function busy(track) {
  return (track.rate("published") ?? 0) + 2 * (track.rate("leases") ?? 0);
}

export const calm = (track) => busy(track) < BUSY;
export const flooded = (track) => busy(track) > 5 * BUSY;

/** The tab that shows them, the newest first. */
export class EventsView {
  #drawn = 0;

  constructor(log, address, track) {
    this.log = log;
    this.address = address;
    this.track = track;
    this.body = h("tbody");
    this.note = h("p", { class: "note", role: "status" });
    this.toggle = button("", () => {
      if (log.following) log.stop();
      else {
        log.wanted = true;
        void log.follow();
      }
      this.draw();
    });
    this.earlier = button("What was before", () => void log.follow(true), { title: "As far as the server still knows it: it keeps the last 10,000 events, while somebody watches" });
    this.element = h(
      "section",
      { class: "events", "aria-label": "Events" },
      h("div", { class: "row" }, this.toggle, this.earlier, this.note),
      h("div", { class: "scroll" }, h("table", { class: "list" }, h("thead", {}, h("tr", {}, ["Time", "Event", "Message", "Delivery", "Reason"].map((name) => h("th", { scope: "col" }, name)))), this.body)),
    );
  }

  draw() {
    const { log } = this;
    say(this.toggle, log.following ? "Stop" : "Follow");
    say(
      this.note,
      log.error
        ? log.error.message
        : log.following
          ? log.events.length
            ? ""
            : "Nothing has happened since you came."
          : `Not followed. ${calm(this.track()) ? "" : `There are some ${count(Math.round(busy(this.track())))} a second; each would be sent here.`}`,
    );
    if (this.element.hidden) return;
    const shown = log.events.slice(-SHOWN).reverse();
    keyed(
      this.body,
      shown,
      ({ offset, kind }) => `${offset} ${kind}`,
      ({ at, kind, id, deliveries, reason }) =>
        h(
          "tr",
          {},
          h("td", { class: "time" }, at === null ? "" : clock(at)),
          h("td", {}, h("span", { class: `kind ${kind}` }, kind === "gap" ? "some events are lost" : kind)),
          h("td", {}, id === null ? "" : h("a", { href: this.address(id), class: "id", title: id }, id.slice(-12))),
          h("td", { class: "number" }, deliveries === null ? "" : count(deliveries)),
          h("td", { class: "reason" }, reason ?? ""),
        ),
    );
  }
}
