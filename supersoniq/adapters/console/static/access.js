/**
 * The token, where the server wants one. It is kept in this tab alone, and shown to nobody but the server that the page
 * came from.
 */

import { ask, field } from "./dialog.js";
import { button, h } from "./dom.js";
import { clock } from "./format.js";
import { Rights } from "./rights.js";

const PLACE = "supersoniq.token";

export class Access {
  #asking = null;

  /** `changed` is called when there is another token, or none any more. */
  constructor(changed) {
    this.token = sessionStorage.getItem(PLACE);
    this.rights = new Rights(this.token);
    this.changed = changed;
  }

  set(token) {
    this.token = token;
    this.rights = new Rights(token);
    if (token === null) sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, token);
    this.changed();
  }

  /** Ask for a token; `check` throws if the server does not take it. */
  ask(why, check) {
    this.#asking ??= this.#ask(why, check).finally(() => (this.#asking = null));
    return this.#asking;
  }

  #ask(why, check) {
    const input = h("input", { name: "token", type: "password", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
    return ask({
      title: "A token, please",
      text: [why, "It is kept in this tab only, until you close it or forget it here."],
      fields: [field("Token", input, "supersoniq token make --key queue.key --sub you --scope 'browse:* manage:*'")],
      word: "Use it",
      act: async ({ token }) => {
        const given = token.trim().replace(/^Bearer\s+/i, "");
        await check(given);
        this.set(given);
        return true;
      },
    });
  }

  /** Who one is here, and what one may do. */
  show(check) {
    const { subject, expires, grants } = this.rights;
    return ask({
      title: `You are ${subject ?? "somebody"}`,
      text: expires === null ? "" : `The token holds until ${clock(expires)}.`,
      fields: [
        h("p", {}, grants.length ? "It allows:" : "It allows nothing here."),
        h("ul", { class: "words" }, grants.map(({ word }) => h("li", {}, h("code", {}, word)))),
        h(
          "div",
          { class: "row" },
          button("Another token…", (event) => {
            event.target.closest("dialog").close();
            void this.ask("It takes the place of the one in use.", check);
          }),
          button("Forget it", (event) => {
            event.target.closest("dialog").close();
            this.set(null);
          }),
        ),
      ],
      word: "Close",
      only: true,
    });
  }
}
