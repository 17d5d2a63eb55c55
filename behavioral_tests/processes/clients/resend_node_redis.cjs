// Counts once through node-redis, with its defaults or without its queue: `advised|defaults PORT`.

const { createClient } = require("redis");

async function main() {
  const [way, port] = process.argv.slice(2);
  const options = way === "advised" ? { disableOfflineQueue: true } : {};
  const store = createClient({ url: `redis://127.0.0.1:${port}`, ...options });
  let connections = 0;
  // Ends when it has connected once more: what it would send again, it has sent by then.
  const again = new Promise((resolve) => store.on("ready", () => ++connections === 2 && resolve()));
  store.on("error", () => {});
  await store.connect();
  const failed = await store.incr("x").then(() => false, () => true);
  await again;
  await store.ping();
  store.destroy();
  if (!failed) throw new Error("no error");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
