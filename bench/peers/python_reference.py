"""The reference's locks, measured for bench/peers/python.c.

    python_reference.py CLIENT REDIS-SOCKET

Says `ready` and versions once all is there, or ends. Then answers each line `WHAT N` on its input
with the nanoseconds that N of it took.

Clients: py_cachify-memory and py_cachify-redis are py-cachify itself. protocol-memory and
protocol-redis are a stand-in where it is not installed: what its lock does to its client, and what
its clients do (get and pickle.loads; set if not exists of pickle.dumps(1); delete), without its
layers between.
"""

import pickle
import platform
import sys
import threading
import time

HOT = "order-12345"
EXPIRES_S = 30
KEYS = [f"order-{i}" for i in range(1000)]


class Memory:
    """A dict with expiries, as the reference's in-memory client."""

    def __init__(self):
        self.held = {}
        self.mutex = threading.Lock()

    def get(self, key):
        value, expires = self.held.get(key, (None, None))
        if expires is not None and expires <= time.time():
            self.delete(key)
            return None
        return value

    def set(self, key, value, ex, nx):
        with self.mutex:
            if nx and self.get(key) is not None:
                return False
            self.held[key] = (value, time.time() + ex)
            return True

    def delete(self, key):
        self.held.pop(key, None)


class Protocol:
    """What a lock of the reference asks of its client."""

    def __init__(self, client):
        self.client = client

    def is_locked(self, key):
        value = self.client.get(key)
        return value is not None and bool(pickle.loads(value))

    def take(self, key):
        if self.is_locked(key):
            return False
        return bool(self.client.set(key, pickle.dumps(1), ex=EXPIRES_S, nx=True))

    def give(self, key):
        self.client.delete(key)


class PyCachify:
    """py-cachify's own lock."""

    def __init__(self, client):
        import py_cachify

        options = {} if client is None else {"sync_client": client}
        self.cachify = py_cachify.init_cachify(is_global=False, default_lock_expiration=EXPIRES_S, **options)
        self.refusal = py_cachify.CachifyLockError

    def take(self, key):
        try:
            self.cachify.lock(key).__enter__()
            return True
        except self.refusal:
            return False

    def give(self, key):
        self.cachify.lock(key).release()

    def is_locked(self, key):
        return self.cachify.lock(key).is_locked()


def redis_client(socket):
    import redis

    client = redis.Redis(unix_socket_path=socket)
    client.ping()
    return client


def versions(name):
    parts = [f"Python {platform.python_version()}"]
    if name.startswith("py_cachify"):
        from importlib.metadata import version

        parts.append(f"py-cachify {version('py-cachify')}")
    if name.endswith("redis"):
        import redis

        parts.append(f"redis-py {redis.__version__}")
    return ", ".join(parts)


def must(what, expected):
    if what is not expected:
        sys.exit(f"python_reference.py: {what}; expected {expected}")


def measure(locks, what, n):
    take, give, is_locked = locks.take, locks.give, locks.is_locked
    if what == "pair":
        names = [HOT] * n
    elif what == "keys":
        names = [KEYS[i * 619 % len(KEYS)] for i in range(n)]
    elif what == "fresh":
        measure.made += n
        names = [f"fresh-{i:010d}" for i in range(measure.made - n, measure.made)]
    elif what == "busy":
        must(take(HOT), True)
        begin = time.perf_counter_ns()
        for _ in range(n):
            must(take(HOT), False)
        took = time.perf_counter_ns() - begin
        give(HOT)
        return took
    else:
        begin = time.perf_counter_ns()
        for _ in range(n):
            must(is_locked(HOT), False)
        return time.perf_counter_ns() - begin
    begin = time.perf_counter_ns()
    for name in names:
        must(take(name), True)
        give(name)
    return time.perf_counter_ns() - begin


measure.made = 0


def main():
    name, socket = sys.argv[1:3]
    client = redis_client(socket) if name.endswith("redis") else None
    if name.startswith("py_cachify"):
        locks = PyCachify(client)
    else:
        locks = Protocol(client or Memory())
    print(f"ready {versions(name)}", flush=True)
    for line in sys.stdin:
        what, n = line.split()
        print(measure(locks, what, int(n)), flush=True)


if __name__ == "__main__":
    try:
        main()
    except ImportError:
        sys.exit(1)
