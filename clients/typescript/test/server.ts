/** A real server in a process of its own; SUPERSONIQ says how to run the program. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";

const program = (process.env.SUPERSONIQ ?? "supersoniq").split(" ");

export class Server {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
    private readonly backend: string,
  ) {}

  static async start(backend = "memory://", port = 0, more: string[] = []): Promise<Server> {
    const [command, ...first] = program as [string, ...string[]];
    const child = spawn(command, [...first, "serve", "--backend", backend, "--port", String(port), ...more], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: child.stdout! })) {
      const found = /(https?:\/\/[^\s]+?:\d+)/.exec(line);
      if (found?.[1]) {
        child.stdout!.resume();
        return new Server(child, found[1], backend);
      }
    }
    throw new Error("the server did not start");
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill(signal);
    await gone;
  }

  /** Another one at the same address, on the same store. */
  again(): Promise<Server> {
    return Server.start(this.backend, this.port);
  }
}

/** Wait until something holds. */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 1500; tries++) {
    if (await holds()) return;
    await wait(20);
  }
  throw new Error(`never came true: ${what}`);
}
