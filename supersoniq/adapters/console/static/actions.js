/** What can be done: each asks what it must, does it, and says what came of it. */

import { ask, field, select, toast } from "./dialog.js";
import { h } from "./dom.js";
import { bytes, count, many, text } from "./format.js";

export class Actions {
  /** `app` has the `broker` of the moment, and `changed()`, to be told when something was done. */
  constructor(app) {
    this.app = app;
  }

  #queue(name) {
    return this.app.broker.queue(name);
  }

  /** Do something without a question. */
  async #do(deed, said) {
    try {
      toast(said(await deed()));
    } catch (error) {
      toast(error.message, true);
    }
    this.app.changed();
  }

  async #asked(question, said) {
    const result = await ask(question);
    if (result === undefined) return undefined;
    toast(said(result));
    this.app.changed();
    return result;
  }

  resume(name) {
    return this.#do(
      () => this.#queue(name).resume(),
      () => `${name} goes on.`,
    );
  }

  pause(name) {
    const times = [["", "until it is resumed"], ["300", "for 5 minutes"], ["900", "for 15 minutes"], ["3600", "for an hour"], ["28800", "for 8 hours"]];
    return this.#asked(
      {
        title: `Pause ${name}?`,
        text: "Nobody gets messages of it meanwhile. Publishing goes on, and so does what consumers have in hand.",
        fields: [field("How long", select("seconds", times, ""))],
        word: "Pause",
        act: async ({ seconds }) => {
          await this.#queue(name).pause(seconds ? Number(seconds) : undefined);
          return true;
        },
      },
      () => `${name} is paused.`,
    );
  }

  redriveAll(name, dead) {
    return this.#asked(
      {
        title: `Try dead messages of ${name} again?`,
        text: `${many(dead, "message")} ${dead === 1 ? "is" : "are"} dead. They become ready, the oldest first, and their deliveries count from 0.`,
        fields: [field("At most", { name: "limit", type: "number", min: 1, placeholder: "all of them", inputmode: "numeric" })],
        word: "Redrive",
        act: ({ limit }) => this.#queue(name).redrive(limit ? { limit: Number(limit) } : {}),
      },
      (n) => `${many(n, "message")} of ${name} ${n === 1 ? "is" : "are"} ready again.`,
    );
  }

  redrive(name, id) {
    return this.#do(
      () => this.#queue(name).redrive({ ids: [id] }),
      () => "The message is ready again.",
    );
  }

  /** Those that were found, and no others. */
  redriveThese(name, ids) {
    return this.#asked(
      {
        title: `Try ${many(ids.length, "message")} again?`,
        text: `Those of ${name} that were found become ready, and their deliveries count from 0. The other dead ones stay dead.`,
        word: "Redrive",
        act: () => this.#queue(name).redrive({ ids }),
      },
      (n) => `${many(n, "message")} of ${name} ${n === 1 ? "is" : "are"} ready again.`,
    );
  }

  cancel(name, id) {
    return this.#asked(
      {
        title: "Cancel this message?",
        text: `${id} is taken out of ${name} for good.`,
        word: "Cancel the message",
        danger: true,
        act: async () => {
          await this.#queue(name).cancel(id);
          return true;
        },
      },
      () => "The message is gone.",
    );
  }

  purge(name, stats) {
    const all = stats.ready + stats.scheduled + stats.dead;
    const kinds = [
      ["dead", `the dead ones: ${count(stats.dead)}`],
      ["scheduled", `the scheduled ones: ${count(stats.scheduled)}`],
      ["ready", `the ready ones: ${count(stats.ready)}`],
      ["", `all of these: ${count(all)}`],
    ];
    return this.#asked(
      {
        title: `Purge ${name}?`,
        text: "The messages are lost for good. What consumers have in hand stays.",
        fields: [field("Drop", select("status", kinds, stats.dead ? "dead" : "")), named(name)],
        word: "Purge",
        danger: true,
        ready: ({ name: typed }) => typed === name,
        act: ({ status }) => this.#queue(name).purge(status || undefined),
      },
      (n) => `${many(n, "message")} of ${name} purged.`,
    );
  }

  remove(name, stats) {
    const held = stats.ready + stats.scheduled + stats.dead + stats.leased + stats.done;
    return this.#asked(
      {
        title: `Delete ${name}?`,
        text: `The queue goes for good, with its policy and all it holds: ${many(held, "message")}.`,
        fields: [named(name)],
        word: "Delete",
        danger: true,
        ready: ({ name: typed }) => typed === name,
        act: async () => {
          await this.#queue(name).delete();
          return true;
        },
      },
      () => `${name} is deleted.`,
    );
  }

  /** Publish; with a message, one like it. */
  publish(name, like = null) {
    const readable = like ? text(like.content, like.contentType) : "";
    const kinds = [["auto", "JSON if it is JSON, else text"], ["text", "Text"], ["json", "JSON"]];
    if (like && readable === null) kinds.unshift(["same", `As it is: ${bytes(like.content.length)}`]);
    const number = (key, more) => ({ name: key, type: "number", ...more });
    const body = h("textarea", { name: "content", rows: 8, spellcheck: "false", autofocus: true });
    body.value = readable ?? "";
    const headers = h("textarea", { name: "headers", rows: 3, spellcheck: "false", placeholder: "name: value" });
    headers.value = like ? Object.entries(like.headers).map((pair) => pair.join(": ")).join("\n") : "";
    return this.#asked(
      {
        title: like ? "Publish one like it" : "Publish a message",
        wide: true,
        fields: [
          field("Queue", { name: "queue", required: true, value: name ?? "", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,127}", autocomplete: "off", spellcheck: "false" }),
          field("Content", body),
          field("Format", select("kind", kinds)),
          h(
            "div",
            { class: "fields" },
            field("Priority", number("priority", { min: -32768, max: 32767, step: 1, value: like?.priority ?? 0 }), "higher is sooner"),
            field("Delay, s", number("delay", { min: 0, step: "any", placeholder: "0" })),
            field("Expires in, s", number("ttl", { min: 0, step: "any", placeholder: "never" })),
            field("Key", { name: "key", maxlength: 256, autocomplete: "off" }, "stored once"),
            field("Recipient", { name: "recipient", maxlength: 256, autocomplete: "off", value: like?.recipient ?? "" }, "for nobody else"),
          ),
          field("Headers", headers),
        ],
        word: "Publish",
        act: async (form) => {
          const queue = form.queue;
          const content = form.kind === "same" ? like.content : form.content.replaceAll("\r\n", "\n");
          const [{ id, duplicate }] = await this.#queue(queue).publishMany([drafted(form, content, like)]);
          return { id, duplicate, queue };
        },
      },
      ({ duplicate, queue }) => (duplicate ? `${queue} has a message of that key: nothing was stored.` : `Published to ${queue}.`),
    );
  }
}

function named(name) {
  return field(`To go on, type ${name}`, { name: "name", autocomplete: "off", autocapitalize: "off", spellcheck: "false", autofocus: true });
}

/** A draft of what was typed. JSON goes out as it was typed, byte for byte. */
function drafted(form, content, like) {
  const draft = { content, priority: Number(form.priority || 0) };
  if (form.kind === "same") draft.contentType = like.contentType;
  else if (form.kind === "json" || (form.kind === "auto" && isJsonText(content))) {
    JSON.parse(content); // says where it is wrong
    draft.content = new TextEncoder().encode(content);
    draft.contentType = "application/json";
  }
  if (form.delay) draft.delay = Number(form.delay);
  if (form.ttl) draft.ttl = Number(form.ttl);
  if (form.key) draft.key = form.key;
  if (form.recipient) draft.recipient = form.recipient;
  const headers = headed(form.headers);
  if (headers) draft.headers = headers;
  return draft;
}

function isJsonText(content) {
  try {
    JSON.parse(content);
    return true;
  } catch {
    return false;
  }
}

function headed(lines) {
  const pairs = lines.split(/\r?\n/).filter((line) => line.trim());
  for (const line of pairs) if (!/^\s*[^:\s][^:]*:/.test(line)) throw new Error(`headers: "${line}" is no "name: value"`);
  return pairs.length ? Object.fromEntries(pairs.map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()])) : null;
}
