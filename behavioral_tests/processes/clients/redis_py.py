"""redis-py with its defaults, then with each protocol, against a cluster. Arguments: a port per node."""

import asyncio
import sys

import redis
import redis.asyncio


def check(found, expected):
    if found != expected:
        raise SystemExit(f"{found!r} instead of {expected!r}")


def work(ports, prefix, **options):
    """Each answer comes through another node than what it depends on was written through."""
    one, two, three = (redis.Redis(port=port, **options) for port in ports)
    text = str if options.get("decode_responses") else str.encode

    def key(name):
        return prefix + name

    check(one.ping(), True)
    check(one.set(key("greeting"), "héllo"), True)
    check(two.get(key("greeting")), text("héllo"))
    check(three.get(key("nothing")), None)
    check(one.set(key("greeting"), "other", nx=True), None)
    check([store.incr(key("hits")) for store in (one, two, three)], [1, 2, 3])
    check(two.incrby(key("hits"), 10), 13)
    check(three.decr(key("hits")), 12)
    check(one.mset({key("a"): 1, key("b"): "two"}), True)
    check(two.mget(key("a"), key("nothing"), key("b")), [text("1"), None, text("two")])
    check(three.exists(key("a"), key("b"), key("nothing")), 2)
    check(sorted(one.keys(prefix + "?")), sorted([text(key("a")), text(key("b"))]))
    check(one.type(key("a")), text("string"))
    check(one.delete(key("a"), key("nothing")), 1)
    check(two.getset(key("b"), "three"), text("two"))
    for transaction in (True, False):
        with one.pipeline(transaction=transaction) as pipeline:
            pipeline.set(key("many"), 0)
            for _ in range(1000):
                pipeline.incr(key("many"))
            pipeline.get(key("many"))
            check(pipeline.execute(), [True, *range(1, 1001), text("1000")])
    transactions(one, two, key)
    try:
        one.incr(key("greeting"))
        raise SystemExit("a text was counted up")
    except redis.ResponseError as error:
        check(str(error), "value is not an integer or out of range")
    check(two.get(key("many")), text("1000"))
    check(one.info()["redis_mode"], "standalone")
    check(one.config_get("maxmemory"), {"maxmemory": "0"})
    check(one.client_setname("worker"), True)


def transactions(one, two, key):
    """`two` writes between what `one` watches and what it executes, the first time."""
    rounds = []

    def add(pipeline):
        value = int(pipeline.get(key("sum")) or 0)
        if not rounds:
            two.set(key("sum"), 40)
        rounds.append(value)
        pipeline.multi()
        pipeline.set(key("sum"), value + 2)
        pipeline.incr(key("additions"))

    check(one.transaction(add, key("sum")), [True, 1])
    check(rounds, [0, 40])
    check(int(two.get(key("sum"))), 42)
    with one.pipeline() as pipeline:
        pipeline.watch(key("sum"))
        two.delete(key("sum"))
        pipeline.multi()
        pipeline.set(key("sum"), 1)
        try:
            pipeline.execute()
            raise SystemExit("a watched key was deleted, and nobody noticed")
        except redis.WatchError:
            check(two.get(key("sum")), None)
    with one.pipeline() as pipeline:
        pipeline.set(key("sum"), "text").incr(key("sum")).get(key("sum"))
        status, error, value = pipeline.execute(raise_on_error=False)
        check((status, str(error)), (True, "value is not an integer or out of range"))
        check(value, two.get(key("sum")))


async def work_async(port):
    async with redis.asyncio.Redis(port=port) as store:
        check(await store.set("async:a", "1"), True)
        counted = await asyncio.gather(*(store.incr("async:a") for _ in range(20)))
        check(sorted(counted), list(range(2, 22)))
        async with store.pipeline() as pipeline:
            check(await pipeline.set("async:b", "1").incr("async:b").execute(), [True, 2])


def main():
    ports = [int(port) for port in sys.argv[1:]]
    ways = [{}, {"protocol": 2}, {"protocol": 3}, {"decode_responses": True}]
    for number, options in enumerate(ways):
        work(ports, f"py:{number}:", **options)
    asyncio.run(work_async(ports[0]))


main()
