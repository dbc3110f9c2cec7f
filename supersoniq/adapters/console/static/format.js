/** Figures, times and contents, as a person reads them. */

const plain = new Intl.NumberFormat("en");
const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

export const count = (n) => (n === null || n === undefined ? "–" : plain.format(n));

/** Few digits: 999, 12.3k, 4.5M. */
export function short(n) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (n >= 10 * size || (n >= size && size > 1e3)) return `${(n / size).toFixed(n >= 100 * size ? 0 : 1)}${unit}`;
  }
  return plain.format(Math.round(n));
}

export const rate = (n) => (n === null ? "–" : n === 0 ? "0" : n < 10 ? n.toFixed(1) : short(n));

export const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

/** A span of milliseconds: 4 s, 3 min 20 s, 2 d 4 h. */
export function span(ms) {
  if (ms < 1000) return ms < 0 ? "0 s" : `${(ms / 1000).toFixed(1)} s`;
  const at = UNITS.findIndex(([size]) => ms >= size);
  const [size, unit] = UNITS[at];
  const first = `${Math.floor(ms / size)} ${unit}`;
  if (at + 1 >= UNITS.length) return first;
  const [small, name] = UNITS[at + 1];
  const rest = Math.floor((ms % size) / small);
  return rest ? `${first} ${rest} ${name}` : first;
}

/** The same, said in one unit. */
export function age(ms) {
  const [size, unit] = UNITS.find(([each]) => ms >= each) ?? UNITS.at(-1);
  return `${Math.max(Math.floor(ms / size), 0)} ${unit}`;
}

/** 14:03:09, or with the day where it is another one. */
export function clock(at) {
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB");
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

const two = (n) => String(n).padStart(2, "0");

export function bytes(n) {
  if (n < 1024) return many(n, "byte");
  return n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`;
}

/** What of a message's bytes can be read: its text, or `null`. */
export function text(content, type) {
  if (!/^text\/|json|xml|yaml|javascript|x-www-form-urlencoded|x-ndjson/i.test(type)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return null;
  }
}

export function isJson(type) {
  return /[/+]json\s*(;|$)/i.test(type);
}

/** JSON on many lines. Its own spelling is kept: 1.50 stays 1.50, and no digit of a large number is lost. */
export function indented(json) {
  try {
    JSON.parse(json);
  } catch {
    return json;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return json.replace(/"(?:[^"\\]|\\.)*"|[[{]\s*[\]}]|[[\]{},:]|\s+|[^\s"[\]{},:]+/g, (token) => {
    if (/^\s/.test(token)) return "";
    if (token === "{" || token === "[") {
      depth++;
      return token + line();
    }
    if (token === "}" || token === "]") {
      depth--;
      return line() + token;
    }
    if (token === ",") return token + line();
    return token === ":" ? ": " : token.length > 1 && /^[[{]/.test(token) ? token[0] + token.at(-1) : token;
  });
}

/** Sixteen bytes a line, in hexadecimal and as far as they are ASCII. */
export function hexdump(content) {
  const lines = [];
  for (let at = 0; at < content.length; at += 16) {
    const some = [...content.subarray(at, at + 16)];
    const left = some.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const right = some.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${left.padEnd(47)}  ${right}`);
  }
  return lines.join("\n");
}

/** One line of a content. */
export function preview(content, type) {
  const found = text(content.subarray(0, 2000), type) ?? (content.length > 2000 ? text(content, type) : null);
  if (found !== null) return found.slice(0, 300).replace(/\s+/g, " ");
  const some = [...content.subarray(0, 12)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${bytes(content.length)}: ${some}${content.length > 12 ? " …" : ""}`;
}
