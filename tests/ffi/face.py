"""The face that the reference describes, over clients with its protocol.  Only for these tests.

Without clients, init_cachify takes the segment that $CACHIFY_FFI_SEGMENT names.
"""
import asyncio
import functools
import inspect
import os
import time

import client

UNSET = object()


class CachifyInitError(Exception):
    pass


class CachifyLockError(Exception):
    pass


class Cachify:
    def __init__(self, sync, asynchronous, expiration, poll_interval, prefix):
        self.sync = sync
        self.asynchronous = asynchronous
        self.expiration = expiration
        self.poll_interval = poll_interval
        self.prefix = prefix

    def lock(self, key, nowait=True, timeout=None, exp=UNSET):
        return lock(key, nowait, timeout, exp, of=self)

    def once(self, key, raise_on_locked=False, return_on_locked=None, exp=UNSET):
        return once(key, raise_on_locked, return_on_locked, exp, of=self)


_global = None


def init_cachify(sync_client=None, async_client=None, default_lock_expiration=30,
                 lock_poll_interval=0.1, prefix='PYC-', is_global=True):
    global _global
    if sync_client is None:
        sync_client = client.SyncClient(os.environ['CACHIFY_FFI_SEGMENT'])
    made = Cachify(sync_client, async_client or client.AsyncClient(sync_client),
                   default_lock_expiration, lock_poll_interval, prefix)
    if is_global:
        _global = made
    return made


class lock:
    suffix = 'lock'

    def __init__(self, key, nowait=True, timeout=None, exp=UNSET, *, of=None):
        self._key = key
        self._nowait = nowait
        self._timeout = timeout
        self._exp = exp
        self._of = of

    # ---- The store ----

    @property
    def _cachify(self):
        if self._of is None and _global is None:
            raise CachifyInitError('call init_cachify first')
        return self._of or _global

    @property
    def _name(self):
        return self._cachify.prefix + self._key

    def _set(self, store):
        exp = self._cachify.expiration if self._exp is UNSET else self._exp
        return store.set(self._name, 1, ex=exp, nx=True)

    def _pauses(self):
        """How long to sleep before each further try, until there is none."""
        end = None if self._timeout is None else time.monotonic() + self._timeout
        while not self._nowait:
            pause = self._cachify.poll_interval
            if end is not None:
                pause = min(pause, end - time.monotonic())
            if pause <= 0:
                break
            yield pause
        raise CachifyLockError(f'{self._key} is already locked!')

    # ---- The context managers ----

    def __enter__(self):
        pauses = self._pauses()
        while not self._set(self._cachify.sync):
            time.sleep(next(pauses))
        return self

    def __exit__(self, *raised):
        self.release()

    def release(self):
        self._cachify.sync.delete(self._name)

    def is_locked(self):
        return bool(self._cachify.sync.get(self._name))

    async def __aenter__(self):
        pauses = self._pauses()
        while not await self._set(self._cachify.asynchronous):
            await asyncio.sleep(next(pauses))
        return self

    async def __aexit__(self, *raised):
        await self.arelease()

    async def arelease(self):
        await self._cachify.asynchronous.delete(self._name)

    async def is_alocked(self):
        return bool(await self._cachify.asynchronous.get(self._name))

    # ---- The decorator ----

    def _filled(self, signature, args, kwargs):
        """The lock of one call."""
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        key = self._key.format(*bound.args, **bound.arguments) + '-' + self.suffix
        return lock(key, self._nowait, self._timeout, self._exp, of=self._of)

    def _run(self, held, call):
        with held:
            return call()

    async def _arun(self, held, call):
        async with held:
            return await call()

    def __call__(self, function):
        def filled(*args, **kwargs):
            return self._filled(signature, args, kwargs)

        signature = inspect.signature(function)
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def wrapped(*args, **kwargs):
                return await self._arun(filled(*args, **kwargs),
                                        functools.partial(function, *args, **kwargs))

            async def is_locked(*args, **kwargs):
                return await filled(*args, **kwargs).is_alocked()

            async def release(*args, **kwargs):
                await filled(*args, **kwargs).arelease()
        else:
            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                return self._run(filled(*args, **kwargs),
                                 functools.partial(function, *args, **kwargs))

            def is_locked(*args, **kwargs):
                return filled(*args, **kwargs).is_locked()

            def release(*args, **kwargs):
                filled(*args, **kwargs).release()
        wrapped.is_locked = is_locked
        wrapped.release = release
        return wrapped


class once(lock):
    """A function that need not run twice at once: what is returned if it runs is given."""
    suffix = 'once'

    def __init__(self, key, raise_on_locked=False, return_on_locked=None, exp=UNSET, *, of=None):
        super().__init__(key, exp=exp, of=of)
        self._raise_on_locked = raise_on_locked
        self._return_on_locked = return_on_locked

    def _busy(self):
        if self._raise_on_locked:
            raise
        return self._return_on_locked

    def _run(self, held, call):
        try:
            held.__enter__()
        except CachifyLockError:
            return self._busy()
        try:
            return call()
        finally:
            held.__exit__()

    async def _arun(self, held, call):
        try:
            await held.__aenter__()
        except CachifyLockError:
            return self._busy()
        try:
            return await call()
        finally:
            await held.__aexit__()
