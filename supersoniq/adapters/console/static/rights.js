/** What the token allows, as it says itself. The server decides; this only keeps back what it would refuse. */

const WORD = /^([a-z]+):([A-Za-z0-9][A-Za-z0-9._-]{0,127})?(\*)?$/;

export class Rights {
  /** `null`: the server asks for no token, and everybody may do everything. */
  constructor(token) {
    this.all = token === null;
    const claims = token === null ? {} : claimed(token);
    this.subject = claims.sub ?? null;
    this.expires = typeof claims.exp === "number" ? claims.exp * 1000 : null;
    this.grants = String(claims.scope ?? "")
      .split(" ")
      .map((word) => WORD.exec(word))
      .filter((found) => found && (found[2] || found[3]))
      .map(([word, verb, name = "", star]) => ({ word, verb, name, prefix: star !== undefined }));
  }

  may(verb, queue) {
    const covers = ({ name, prefix }) => (prefix ? queue.startsWith(name) : queue === name);
    return this.all || this.grants.some((grant) => grant.verb === verb && covers(grant));
  }

  /** Whether there may be a queue that the verb is allowed on. */
  somewhere(verb) {
    return this.all || this.grants.some((grant) => grant.verb === verb);
  }
}

/** What a token says of itself. Nothing of it is shown to be true here. */
function claimed(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const raw = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    const found = JSON.parse(new TextDecoder().decode(raw));
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}
