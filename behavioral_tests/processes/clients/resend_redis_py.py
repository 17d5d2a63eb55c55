"""Counts once through redis-py, as README advises or with its defaults: `advised|defaults PORT`."""

import sys

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

way, port = sys.argv[1], int(sys.argv[2])
options = {"retry": Retry(NoBackoff(), 0)} if way == "advised" else {}
try:
    redis.Redis(port=port, **options).incr("x")
except redis.ConnectionError:
    sys.exit(0)
sys.exit("no error")
