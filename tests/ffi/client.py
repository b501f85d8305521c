"""Clients as py-cachify wants them, over the shared segment.

    set(name, value, ex=None, nx=False)   ex in seconds, None: for ever; with nx True for exactly
                                          one caller, False for the others
    get(name)                             the value, or None
    delete(name)

A name is the whole key: the instance's prefix is "".  Values are pickled.  What another program
gave as a lock's note is not: it comes back as bytes; an empty note as True, for is_locked asks
for the truth of it.  A value ends with the process that set it (cachify.h).
"""
import asyncio
import math
import pickle

import cachify

PICKLED = b'\x80'  # how every pickle since protocol 2 begins


def milliseconds(ex):
    if ex is None:
        return cachify.NEVER
    if not ex > 0:  # 0 would be the instance's default
        raise ValueError(f'ex is {ex}; expected more than 0 seconds, or None')
    return math.ceil(ex * 1000)


def value_of(note):
    if note is None or not note.startswith(PICKLED):
        return True if note == b'' else note
    return pickle.loads(note)


class SyncClient:
    def __init__(self, name, **config):
        """name: of the segment, in /dev/shm; config: of cachify_config_t."""
        self.instance = cachify.Instance(
            **{'name': name, 'prefix': '', 'value_max': cachify.VALUE_MAX, 'max_locks': 256,
               **config})

    def set(self, name, value, ex=None, nx=False):
        return self.instance.set(name, pickle.dumps(value), nx=nx, exp_ms=milliseconds(ex))

    def get(self, name):
        return value_of(self.instance.get(name))

    def delete(self, name):
        self.instance.release_key(name)

    def close(self):
        self.instance.close()


class AsyncClient:
    """The same, awaited.  No call of the store waits for another process: none needs a thread."""

    def __init__(self, sync):
        self.sync = sync

    async def set(self, name, value, ex=None, nx=False):
        return self.sync.set(name, value, ex, nx)

    async def get(self, name):
        return self.sync.get(name)

    async def delete(self, name):
        self.sync.delete(name)


async def acquire(instance, key, **lock):
    """cachify_acquire in an event loop: a lease, when the lock is had; no polling, no thread."""
    loop = asyncio.get_running_loop()
    pending = instance.acquire_start(key, **lock)
    try:
        while True:
            readable = loop.create_future()
            loop.add_reader(pending.fd, lambda: readable.done() or readable.set_result(None))
            try:
                await readable
            finally:
                loop.remove_reader(pending.fd)  # before the library closes it
            lease = pending.finish()
            if lease is not None:
                return lease
    finally:
        if pending.handle is not None:
            pending.cancel()
