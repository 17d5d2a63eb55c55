// node-redis with its defaults, then with each protocol, against a cluster. Arguments: a port per node.

const assert = require("node:assert/strict");
const { createClient } = require("redis");

// Each answer comes through another node than what it depends on was written through.
async function work([one, two, three], prefix) {
  const key = (name) => prefix + name;
  assert.equal(await one.ping(), "PONG");
  assert.equal(await one.set(key("greeting"), "héllo"), "OK");
  assert.equal(await two.get(key("greeting")), "héllo");
  assert.equal(await three.get(key("nothing")), null);
  assert.equal(await one.set(key("greeting"), "other", { NX: true }), null);
  for (const [position, store] of [one, two, three].entries()) {
    assert.equal(await store.incr(key("hits")), position + 1);
  }
  assert.equal(await two.incrBy(key("hits"), 10), 13);
  assert.equal(await three.decr(key("hits")), 12);
  assert.equal(await one.mSet({ [key("a")]: "1", [key("b")]: "two" }), "OK");
  assert.deepEqual(await two.mGet([key("a"), key("nothing"), key("b")]), ["1", null, "two"]);
  assert.equal(await three.exists([key("a"), key("b"), key("nothing")]), 2);
  assert.deepEqual((await one.keys(prefix + "?")).sort(), [key("a"), key("b")]);
  assert.equal(await one.del([key("a"), key("nothing")]), 1);
  const counts = Array.from({ length: 1000 }, () => one.incr(key("many"))); // one pipeline
  assert.deepEqual(await Promise.all(counts), Array.from({ length: 1000 }, (_, count) => count + 1));
  const pipeline = two.multi().set(key("c"), "3").incr(key("c")).get(key("c"));
  assert.deepEqual(await pipeline.execAsPipeline(), ["OK", 4, "4"]);
  await assert.rejects(one.incr(key("greeting")), /ERR value is not an integer or out of range/);
  assert.equal(await three.get(key("many")), "1000");
  assert.match(await one.info(), /redis_mode:standalone/);
  assert.deepEqual({ ...(await one.configGet("maxmemory")) }, { maxmemory: "0" });
}

async function main() {
  const ports = process.argv.slice(2).map(Number);
  for (const [way, options] of [{}, { RESP: 2 }, { RESP: 3 }].entries()) {
    const open = ports.map((port) =>
      createClient({ url: `redis://127.0.0.1:${port}`, ...options })
        .on("error", (error) => { throw error; })
        .connect(),
    );
    const stores = await Promise.all(open);
    await work(stores, `node:${way}:`);
    for (const store of stores) await store.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
