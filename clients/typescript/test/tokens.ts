/** Tokens for tests, and a server that asks for them. */

import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SECRET = "0123456789abcdef0123456789abcdef-and-more";
export const ALL = "publish:* consume:* browse:* watch:* manage:*";

export function minted(seconds: number, scope = ALL, sub = "anna"): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, scope, exp: Date.now() / 1000 + seconds })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** The file with the secret. */
export class Guard {
  private readonly folder = mkdtempSync(join(tmpdir(), "supersoniq-"));
  /** Those of `serve`. */
  readonly flags = ["--auth-secret-file", join(this.folder, "secret")];

  constructor() {
    writeFileSync(join(this.folder, "secret"), SECRET, { mode: 0o600 });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
