/** Charts of the last minutes, five at most, drawn by hand: lines over time in SVG, their figures beside them in text. */

import { h, mark, say, svg } from "./dom.js";
import { age, clock, rate, short } from "./format.js";

const LEAST = 60_000;

/** How long a time is shown: all that was seen, and a minute at least. */
const shown = (points) => Math.max(points.at(-1).at - points[0].at, LEAST);

/** Points of a line within a box, x by time and y by value. */
function path(points, width, height, top, now, span) {
  const drawn = points
    .map(({ at, value }, n) => {
      const x = width - (width * (now - at)) / span;
      const y = height - (height * value) / top;
      return `${n ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
  return points.length > 1 ? drawn : `${drawn}h0.01`; // a dot
}

/** A round figure at or above one. */
function ceiling(value) {
  if (value <= 1) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= value);
}

/** How a value changed, without a word: beside a row of figures that say the same. */
export class Spark {
  constructor() {
    this.area = svg("path", { class: "area" });
    this.line = svg("path", { class: "line" });
    this.element = svg("svg", { class: "spark", viewBox: "0 0 120 22", preserveAspectRatio: "none", "aria-hidden": "true" }, this.area, this.line);
  }

  draw(points, field) {
    const last = points.at(-1);
    if (!last) return;
    const values = points.map((point) => ({ at: point.at, value: point[field] }));
    const span = shown(points);
    const d = path(values, 120, 20, ceiling(Math.max(...values.map(({ value }) => value))), last.at, span);
    mark(this.line, "d", d);
    mark(this.area, "d", `${d}L120 22L${(120 - (120 * (last.at - points[0].at)) / span).toFixed(1)} 22Z`);
  }
}

/**
 * A chart with a line for each of `series`: `{ name, field, kind }`. With `rates` it shows how much a counter grows in a
 * second, else the values. Pointing at it tells the values of that moment.
 */
export class Chart {
  #series;
  #rates;
  #points = [];
  #at = null;

  constructor(title, series, rates) {
    this.#series = series;
    this.#rates = rates;
    this.title = title;
    this.lines = series.map(({ kind }) => svg("path", { class: `line ${kind}`, "vector-effect": "non-scaling-stroke" }));
    this.cursor = svg("path", { class: "cursor", "vector-effect": "non-scaling-stroke" });
    const grid = [25, 50, 75].map((y) => svg("path", { class: "grid", d: `M0 ${y}H600`, "vector-effect": "non-scaling-stroke" }));
    this.drawing = svg("svg", { viewBox: "0 0 600 100", preserveAspectRatio: "none", role: "img" }, grid, this.cursor, this.lines);
    this.top = h("span", { class: "top" });
    this.begin = h("span", { class: "bottom" });
    this.when = h("span", { class: "when" });
    this.values = series.map(() => h("b", {}, "–"));
    const legend = series.map(({ name, kind }, n) => h("span", { class: kind }, h("i", { class: "swatch" }), `${name} `, this.values[n]));
    const plot = h(
      "div",
      {
        class: "plot",
        onpointermove: (event) => this.#point(event),
        onpointerleave: () => this.#point(null),
      },
      this.drawing,
      this.top,
      this.begin,
      h("span", { class: "bottom now" }, "now"),
    );
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, h("strong", {}, title), this.when, h("span", { class: "legend" }, legend)), plot);
  }

  draw(points) {
    this.#points = this.#rates ? grown(points, this.#series) : points;
    const last = this.#points.at(-1);
    if (!last) return;
    const lines = this.#series.map(({ field }) => this.#points.map((point) => ({ at: point.at, value: point[field] })));
    const top = ceiling(Math.max(...lines.flat().map(({ value }) => value)));
    for (const [n, line] of lines.entries()) mark(this.lines[n], "d", path(line, 600, 100, top, last.at, shown(this.#points)));
    say(this.begin, `${age(shown(this.#points))} ago`);
    say(this.top, this.#rates ? `${short(top)}/s` : short(top));
    this.#tell();
  }

  #point(event) {
    const box = this.drawing.getBoundingClientRect();
    this.#at = event ? (event.clientX - box.left) / box.width : null;
    this.#tell();
  }

  #tell() {
    const last = this.#points.at(-1);
    if (!last) return;
    const wanted = this.#at === null ? last.at : last.at - shown(this.#points) * (1 - this.#at);
    const near = this.#points.reduce((best, point) => (Math.abs(point.at - wanted) < Math.abs(best.at - wanted) ? point : best));
    const told = this.#series.map(({ field }) => (this.#rates ? `${rate(near[field])}/s` : short(near[field])));
    told.forEach((text, n) => say(this.values[n], text));
    say(this.when, this.#at === null ? "" : ` at ${clock(Date.now() - (performance.now() - near.at))}`);
    const x = 600 - (600 * (last.at - near.at)) / shown(this.#points);
    mark(this.cursor, "d", this.#at === null ? "M0 0" : `M${x.toFixed(1)} 0V100`);
    if (this.#at === null) {
      mark(this.drawing, "aria-label", `${this.title}: ${this.#series.map(({ name }, n) => `${name} ${told[n]}`).join(", ")}`);
    }
  }
}

function grown(points, series) {
  return points.slice(1).map((point, n) => {
    const before = points[n];
    const found = { at: point.at };
    for (const { field } of series) {
      found[field] = Math.max((1000 * (point[field] - before[field])) / Math.max(point.at - before.at, 1), 0);
    }
    return found;
  });
}
