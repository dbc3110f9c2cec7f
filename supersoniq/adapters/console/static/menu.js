/** A button that opens a few more: for what is seldom wanted, and not to be hit by chance. */

import { button, h, mark } from "./dom.js";

let number = 0;

export function menu(label, items) {
  const id = `menu-${++number}`;
  const list = h("div", { id, hidden: true }, items);
  const turn = (open) => {
    list.hidden = !open;
    mark(top, "aria-expanded", String(open));
  };
  const top = button(`${label} ▾`, () => turn(list.hidden), { "aria-expanded": "false", "aria-controls": id });
  return h(
    "div",
    {
      class: "menu",
      onclick: (event) => items.includes(event.target) && turn(false),
      onfocusout: (event) => event.currentTarget.contains(event.relatedTarget) || turn(false),
      onkeydown: (event) => {
        if (event.key !== "Escape" || list.hidden) return;
        event.stopPropagation();
        turn(false);
        top.focus();
      },
    },
    top,
    list,
  );
}
