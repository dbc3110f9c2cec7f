// BullMQ on Node: the same as the Python scripts beside it, see ../common.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Queue, Worker } from "bullmq";

const [url, countText, concurrencyText] = process.argv.slice(2);
const count = Number(countText);
const concurrency = Number(concurrencyText);
const { hostname: host, port } = new URL(url);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const content = "x".repeat(256);

const queue = new Queue("bench", { connection, defaultJobOptions: { removeOnComplete: true } });
await queue.waitUntilReady();
let left = count;
let started = performance.now();
await Promise.all(
  Array.from({ length: concurrency }, async () => {
    while (left-- > 0) await queue.add("noop", { content });
  }),
);
const publish = (1000 * count) / (performance.now() - started);

left = count;
let finished;
const done = new Promise((resolve) => (finished = resolve));
const worker = new Worker("bench", async () => {}, { connection, concurrency, autorun: false });
worker.on("completed", () => --left || finished());
await worker.waitUntilReady();
started = performance.now();
worker.run();
await done;
const consume = (1000 * count) / (performance.now() - started);
await worker.close();
await queue.close();

const main = createRequire(import.meta.url).resolve("bullmq");
const root = main.slice(0, main.lastIndexOf("/bullmq/") + 8);
const { version } = JSON.parse(readFileSync(root + "package.json"));
console.log(JSON.stringify({ version: `bullmq ${version}, node ${process.versions.node}`, publish, consume }));
