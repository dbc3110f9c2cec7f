/** What needs somebody's attention: what is wrong, since when, why, and the button that mends it. */

import { button, h, keyed, mark, say } from "./dom.js";
import { count } from "./format.js";
import { troubles } from "./trouble.js";

const MOST = 30;

export class Attention {
  /** With `named`, each trouble says of which queue it is. */
  constructor(app, named) {
    this.app = app;
    this.named = named;
    this.list = h("ul", { class: "troubles" });
    this.more = h("p", { class: "note" });
    this.element = h("section", { class: "attention", "aria-label": "What needs attention" }, this.list, this.more);
  }

  draw(tracks) {
    const found = tracks.flatMap((track) => troubles(track).map((trouble) => ({ track, ...trouble })));
    found.sort((a, b) => (a.level === b.level ? 0 : a.level === "bad" ? -1 : 1));
    keyed(
      this.list,
      found.slice(0, MOST),
      ({ track, kind }) => `${track.name} ${kind}`,
      (trouble) => this.#row(trouble),
      (row, trouble) => {
        mark(row, "class", trouble.level);
        say(row.told.text, trouble.text);
        const about = trouble.mend.find((each) => ["dead", "ready"].includes(each));
        say(row.told.why, about ? this.app.causes.of(trouble.track, about) : "");
      },
    );
    say(this.more, found.length > MOST ? `And ${count(found.length - MOST)} more: sort the queues by their state.` : "");
    mark(this.element, "data-quiet", found.length === 0);
    return found.length;
  }

  #row({ track, mend, level }) {
    const { app } = this;
    const { name } = track;
    const told = { text: h("span"), why: h("small") };
    const manage = app.access.rights.may("manage", name);
    const deeds = {
      redrive: manage && button("Redrive…", () => app.actions.redriveAll(name, app.feed.tracks.get(name)?.stats?.dead ?? 0)),
      resume: manage && button("Resume", () => app.actions.resume(name)),
      dead: app.access.rights.may("browse", name) && h("a", { class: "button", href: app.address(name, "", "dead") }, "Look"),
      ready: app.access.rights.may("browse", name) && h("a", { class: "button", href: app.address(name, "", "ready") }, "Look"),
    };
    const mark = h("span", { class: "sign", "aria-hidden": "true" }, level === "bad" ? "✕" : "!");
    const where = this.named ? h("a", { class: "where", href: app.address(name) }, name) : null;
    const row = h("li", { class: level }, mark, h("div", {}, where, told.text, told.why), h("div", { class: "row" }, mend.map((each) => deeds[each])));
    row.told = told;
    return row;
  }
}
