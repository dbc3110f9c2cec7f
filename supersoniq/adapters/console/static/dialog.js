/** Dialogs, all of one kind: a form in the browser's own `<dialog>`, which keeps the focus and closes by Escape. */

import { button, h, say } from "./dom.js";

/**
 * Ask. `fields` are elements; `act` gets the form's values and does the deed: if it throws, the dialog stays, and says why.
 * Gives what `act` gave, or `undefined` if the answer was no.
 */
export function ask({ title, text, fields = [], word, danger = false, wide = false, only = false, act = async () => true, ready = null }) {
  return new Promise((resolve) => {
    const problem = h("p", { class: "problem", role: "alert" });
    const yes = h("button", { type: "submit", class: danger ? "danger" : "primary" }, word);
    const no = button("Cancel", () => dialog.close());
    const id = `dialog-${++number}`;
    let result;
    const form = h(
      "form",
      {
        novalidate: true,
        onkeydown: (event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(yes);
        },
        oninput: () => ready && (yes.disabled = !ready(values(form))),
        onsubmit: async (event) => {
          event.preventDefault();
          if (!form.reportValidity()) return;
          yes.disabled = true;
          say(problem, "");
          try {
            result = await act(values(form));
            dialog.close();
          } catch (error) {
            say(problem, error.message);
          } finally {
            yes.disabled = false;
          }
        },
      },
      h("h2", { id }, title),
      (Array.isArray(text) ? text : [text]).filter(Boolean).map((each) => h("p", {}, each)),
      fields,
      problem,
      h("div", { class: "row end" }, only ? null : no, yes),
    );
    const dialog = h(
      "dialog",
      {
        class: wide ? "wide" : "",
        "aria-labelledby": id,
        onclose: () => {
          dialog.remove();
          resolve(result);
        },
      },
      form,
    );
    document.body.append(dialog);
    yes.disabled = ready !== null && !ready(values(form));
    dialog.showModal();
    (form.querySelector("[autofocus]") ?? form.querySelector("input, textarea, select") ?? no).focus();
  });
}

let number = 0;

function values(form) {
  return Object.fromEntries(new FormData(form));
}

/** A labelled field: an element, or an input made of properties. */
export function field(label, control, hint) {
  const element = control instanceof Element ? control : h("input", control);
  return h("label", { class: "field" }, h("span", {}, label), element, hint ? h("small", {}, hint) : null);
}

export function select(name, options, chosen) {
  return h("select", { name }, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

/** Something happened: said for a while. What went wrong stays until it is put away. */
export function toast(text, bad = false) {
  const box = document.getElementById("toasts");
  const gone = () => note.remove();
  const note = h("div", { class: bad ? "toast bad" : "toast", role: bad ? "alert" : null }, h("span", {}, text), button("×", gone, { class: "quiet", "aria-label": "Put away" }));
  box.append(note);
  while (box.children.length > 4) box.firstChild.remove();
  if (!bad) setTimeout(gone, 6000);
}
