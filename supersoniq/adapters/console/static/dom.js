/** Elements, made of data. Whatever a message says becomes text here, never markup: nothing in the console parses any. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. A property that is a function listens (`onclick`), `false`, `null` and `undefined` leave it out, everything
 * else is an attribute. Children are elements and texts.
 */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** The same, of SVG. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Say something else, if it is something else: nothing moves on the page, and nothing is read aloud, for no reason. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (value === false || value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

const held = new WeakMap();

/** The children that `keyed` made of a list, by key. */
export const rowsOf = (parent) => held.get(parent) ?? new Map();

/** Hold children to a list: those that stay are kept as they are, with the focus that one of them may have. */
export function keyed(parent, items, keyOf, make, update) {
  const old = rowsOf(parent);
  const rows = new Map();
  let next = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = old.get(key) ?? make(item);
    rows.set(key, row);
    update?.(row, item);
    if (row === next) next = next.nextSibling;
    else parent.insertBefore(row, next);
  }
  for (const [key, row] of old) if (!rows.has(key)) row.remove();
  held.set(parent, rows);
}

/** A button. */
export function button(label, onclick, properties = {}) {
  return h("button", { type: "button", onclick, ...properties }, label);
}
