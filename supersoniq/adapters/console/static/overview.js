/** All queues: first what needs attention, then a line each. */

import { Attention } from "./attention.js";
import { Spark } from "./chart.js";
import { button, h, keyed, mark, say } from "./dom.js";
import { count, many, rate } from "./format.js";
import { condition, troubles } from "./trouble.js";

const COLUMNS = [
  ["name", "Queue", (track) => track.name],
  ["state", "State", (track) => (track.stats ? troubles(track).length : -1)],
  ["ready", "Ready", (track) => track.stats?.ready ?? -1],
  ["leased", "Leased", (track) => track.stats?.leased ?? -1],
  ["scheduled", "Scheduled", (track) => track.stats?.scheduled ?? -1],
  ["dead", "Dead", (track) => track.stats?.dead ?? -1],
  ["in", "In/s", (track) => track.rate("published") ?? -1],
  ["out", "Out/s", (track) => track.rate("acked") ?? -1],
];
const MOST = 300;

export class Overview {
  title = "Queues";
  #sort = ["name", 1];

  constructor(app) {
    this.app = app;
    this.attention = new Attention(app, true);
    this.calm = h("p", { class: "calm" }, h("span", { class: "sign", "aria-hidden": "true" }, "✓"), h("span"));
    this.filter = h("input", { type: "search", placeholder: "Find a queue", "aria-label": "Find a queue", spellcheck: "false", autocomplete: "off", id: "search", oninput: () => this.update() });
    this.heads = COLUMNS.map(([id, name]) => h("th", { scope: "col", class: `by-${id}` }, button(name, () => this.#by(id), { class: "sort" })));
    this.body = h("tbody");
    this.note = h("p", { class: "note", role: "status" });
    const publish = app.access.rights.somewhere("publish") && button("Publish…", () => app.actions.publish(""), { class: "primary", id: "publish" });
    this.element = h(
      "div",
      { class: "overview" },
      h("h1", {}, "Queues"),
      this.attention.element,
      this.calm,
      h("div", { class: "row tools" }, this.filter, h("span", { class: "spring" }), publish),
      h("div", { class: "scroll" }, h("table", { class: "list queues" }, h("thead", {}, h("tr", {}, this.heads, h("th", { scope: "col", class: "trend" }, "Ready, of late"))), this.body)),
      this.note,
    );
  }

  update() {
    const { feed } = this.app;
    const tracks = [...feed.tracks.values()];
    const wrong = this.attention.draw(tracks);
    this.calm.hidden = wrong > 0 || feed.state === "connecting" || !tracks.length;
    say(this.calm.lastChild, `Nothing needs attention in ${many(tracks.length, "queue")}.`);
    const wanted = this.filter.value.trim().toLowerCase();
    const found = tracks.filter(({ name }) => name.toLowerCase().includes(wanted));
    const [by, way] = this.#sort;
    const value = COLUMNS.find(([id]) => id === by)[2];
    found.sort((a, b) => way * (compare(value(a), value(b)) || 0) || compare(a.name, b.name));
    keyed(
      this.body,
      found.slice(0, MOST),
      ({ name }) => name,
      (track) => this.#row(track),
      (row, track) => this.#fill(row, track),
    );
    for (const [n, [id]] of COLUMNS.entries()) mark(this.heads[n], "aria-sort", id === by && (way > 0 ? "ascending" : "descending"));
    say(this.note, this.#said(tracks, found, wanted));
  }

  #said(tracks, found, wanted) {
    if (this.app.feed.state === "connecting") return "Connecting…";
    if (!tracks.length) return this.app.access.rights.all ? "There is no queue yet. The first message published to one makes it." : "There is no queue that this token may see.";
    if (!found.length) return `No queue's name has “${wanted}” in it.`;
    return found.length > MOST ? `${count(MOST)} of ${count(found.length)} are shown: find the others by name.` : "";
  }

  step(by) {
    const links = [...this.body.querySelectorAll("a.where")];
    const next = links[Math.min(Math.max(links.indexOf(document.activeElement) + by, 0), links.length - 1)];
    next?.focus();
    return next !== undefined;
  }

  stop() {}

  #by(id) {
    const [by, way] = this.#sort;
    this.#sort = [id, by === id ? -way : id === "name" ? 1 : -1];
    this.update();
  }

  #row({ name }) {
    const cells = Object.fromEntries(COLUMNS.slice(2).map(([id, label]) => [id, h("td", { class: `number ${id}`, "data-label": label.toLowerCase() })]));
    const state = h("span", { class: "state" });
    const spark = new Spark();
    const row = h(
      "tr",
      { onclick: (event) => event.target.closest("a, button") || getSelection().type === "Range" || this.app.go(this.app.address(name)) },
      h("th", { scope: "row" }, h("a", { class: "where", href: this.app.address(name) }, name)),
      h("td", {}, state),
      Object.values(cells),
      h("td", { class: "trend" }, spark.element),
    );
    Object.assign(row, { state, numbers: cells, spark });
    return row;
  }

  #fill(row, track) {
    const { level, word } = condition(track, troubles(track));
    say(row.state, word);
    mark(row.state, "class", `state ${level}`);
    for (const id of ["ready", "leased", "scheduled", "dead"]) {
      const value = track.stats?.[id];
      say(row.numbers[id], count(value));
      mark(row.numbers[id], "data-zero", !value);
    }
    for (const [id, field] of [["in", "published"], ["out", "acked"]]) {
      const value = track.stats ? track.rate(field) : null;
      say(row.numbers[id], rate(value));
      mark(row.numbers[id], "data-zero", !value);
    }
    row.spark.draw(track.points, "ready");
  }
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
