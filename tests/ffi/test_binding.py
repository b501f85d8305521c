"""What a binding relies on: structs, statuses, threads, event loops, children, callbacks."""
import asyncio
import ctypes
import os
import subprocess
import sys
import threading
import time
from ctypes import byref, c_bool

import cachify
import client
from cachify import CachifyError, Status, lib
from support import SEGMENT, Case, eventually
from wrap import Wrapped


class Binding(Case):
    def fails(self, status, call, *given, **more):
        with self.assertRaises(CachifyError) as failed:
            call(*given, **more)
        self.assertEqual(failed.exception.status, status)
        return failed.exception.details

    # ---- Loading ----

    def test_loads_late(self):
        """Whatever other libraries have taken of the room for static thread-local variables."""
        if cachify.lib._name is None:
            self.skipTest('no path')
        done = subprocess.run(
            [sys.executable, '-c', 'import ctypes, sys; ctypes.CDLL(sys.argv[1])',
             os.path.abspath(cachify.lib._name)],
            env={**os.environ, 'GLIBC_TUNABLES': 'glibc.rtld.optional_static_tls=128'},
            timeout=20, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    # ---- Structs and numbers ----

    def test_sizes(self):
        """cachify.h: "bytes of a public struct by its name [...]; 0 for what is none.\""""
        for struct in cachify.STRUCTS:
            self.assertEqual(lib.cachify_sizeof(struct.__name__.encode()), ctypes.sizeof(struct))
        self.assertEqual([lib.cachify_sizeof(name) for name in (b'int', b'', None)], [0, 0, 0])

    def test_initialisers(self):
        """cachify.h: "The others fill a struct with its defaults (what {0} is in C), its size
        included where it has one; NULL is ignored.\""""
        for struct in cachify.STRUCTS:
            fill = getattr(lib, struct.__name__[:-2] + '_init', None)
            if struct.__name__ in ('cachify_arg_t', 'cachify_call_t'):
                self.assertIsNone(fill)
                continue
            size = ctypes.sizeof(struct)
            garbage = struct.from_buffer(bytearray(b'\xff' * size))
            fill(byref(garbage))
            head = getattr(garbage, 'size', 0)
            self.assertIn(head, (0, size))
            self.assertEqual(bytes(garbage), head.to_bytes(4, 'little') + bytes(size - 4))
            fill(None)

    def test_fields_of_config(self):
        """Each field of cachify_config_t is where the library reads it."""
        name = SEGMENT + '-2'
        path = '/dev/shm/' + name
        first = cachify.Instance(path=path, mode=0o640, max_locks=64, key_max=20, value_max=5,
                                 prefix='P', default_exp_ms=7000, poll_interval_ms=2**40)
        self.addCleanup(os.unlink, path)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        lease = first.acquire('k' * 19, value=b'12345')
        self.assertTrue(6000 < lease.remaining_ms <= 7000)
        self.fails(Status.KEY_TOO_LONG, first.acquire, 'k' * 20)
        self.assertIn('6', self.fails(Status.INVALID, first.acquire, 'a', value=b'123456'))
        second = cachify.Instance(name=name, prefix='')
        self.assertTrue(second.is_locked('P' + 'k' * 19))
        leases = []
        with self.assertRaises(CachifyError) as full:
            for n in range(65):
                leases.append(second.acquire(str(n)))
        self.assertEqual(full.exception.status, Status.FULL)
        first.close(), second.close()
        for wrong in dict(flags=2**31), dict(mode=2**31), dict(poll_interval_ms=-1), \
                dict(default_exp_ms=cachify.MAX_MS + 1), dict(name='a/b'), dict(size=8), \
                dict(name='a', path='/b'), dict(fd=2**31 - 1):
            with self.subTest(wrong), self.assertRaises(CachifyError):
                cachify.Instance(**wrong)
        memfd = os.memfd_create('cachify-ffi', os.MFD_ALLOW_SEALING)
        third = cachify.Instance(fd=memfd)
        third.acquire('x').release()
        third.close()
        os.close(memfd)

    def test_fields_of_lock_and_info(self):
        """Times are 64 bits, wait is a bool of one byte, a key has a length."""
        lock = cachify.lock_of(self.key + 'beyond', exp_ms=cachify.MAX_MS, value=b'a\0b')
        lock.key_len = len(self.key)
        lease = cachify.Lease()
        cachify.check(lib.cachify_acquire(self.instance.handle, byref(lock), byref(lease.c)))
        self.assertGreater(lease.remaining_ms, cachify.MAX_MS - 10000)
        info = self.instance.query(self.key)
        self.assertEqual((info.state, info.pid, info.thread, info.token, info.waiters),
                         (cachify.State.HELD, os.getpid(), threading.get_native_id(),
                          lease.token, 0))
        self.assertGreater(info.token, 2**32)
        self.assertEqual(info.value_len, 3)
        self.assertEqual(info.value, b'a')  # ctypes ends an array of char at its NUL
        self.assertEqual(self.instance.get(self.key), b'a\0b')
        start = time.monotonic()
        self.fails(Status.LOCKED, self.instance.acquire, self.key, timeout_ms=60000)
        other, = self.agents(1)
        other.ask(f"""
try: c.acquire({self.key!r}, wait=True, timeout_ms=50)
except cachify.CachifyError as raised: answer = raised.status.name""")
        self.assertGreaterEqual(time.monotonic() - start, 0.05)
        self.assertEqual(lease.extend(cachify.NEVER), Status.OK)
        self.fails(Status.DEADLOCK, self.instance.acquire, self.key, wait=True)
        self.assertEqual(lease.release(), Status.OK)
        self.assertEqual((lease.release(), lease.token, lease.held), (Status.OK, 0, False))

    def test_keys(self):
        """cachify.h: "1 to key_max bytes with the prefix, any but NUL.\""""
        self.assertIn('NUL', self.fails(Status.INVALID, self.instance.acquire, 'a\0b'))
        for key in 'ключ-é', '\x01\x7f', ' ':
            lease = self.instance.acquire(key)
            self.assertTrue(self.instance.is_locked(key))
            lease.release()
        for call in self.instance.acquire, self.instance.is_locked, self.instance.get:
            self.fails(Status.INVALID, call, '')

    def test_statuses(self):
        """cachify.h: "A fixed text for a status (any number).  Never NULL."; and the global
        instance's "no cachify_init before a call".\""""
        texts = {lib.cachify_strerror(status) for status in Status}
        self.assertEqual(len(texts), len(Status))
        self.assertEqual(lib.cachify_strerror(17), lib.cachify_strerror(-1))
        locked = c_bool(True)
        self.assertEqual(lib.cachify_is_locked(None, b'x', byref(locked)), Status.NOT_INITIALIZED)
        self.assertTrue(locked.value)  # untouched
        self.assertIn(b'cachify_init', lib.cachify_last_error())

    def test_last_error_is_the_threads_own(self):
        """cachify.h: "What this thread's last failed call found.\""""
        self.fails(Status.INVALID, self.instance.is_locked, '')
        mine = lib.cachify_last_error()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(lib.cachify_last_error()))
        thread.start()
        thread.join()
        self.assertEqual(seen, [b''])
        self.assertEqual(lib.cachify_last_error(), mine)

    # ---- Leases ----

    def test_lease(self):
        """cachify.h: "From now on for exp_ms [...], token unchanged"; "who had it"."""
        other, = self.agents(1)
        previous = other.ask(f'lease = c.acquire({self.key!r}); answer = lease.token')
        other.kill()
        lease = self.instance.acquire(self.key, exp_ms=1000)
        token = lease.token
        origin = lease.origin
        self.assertEqual((origin.how, origin.previous_pid, origin.previous_token),
                         (cachify.How.OWNER_DIED, other.pid, previous))
        self.assertGreater(token, previous)
        self.assertEqual(lease.extend(90000), Status.OK)
        self.assertTrue(80000 < lease.remaining_ms <= 90000)
        self.assertEqual(lease.extend(cachify.NEVER), Status.OK)
        self.assertEqual(lease.remaining_ms, cachify.NEVER)
        self.assertEqual(lease.token, token)
        self.instance.release_key(self.key)
        self.assertEqual(lease.extend(), Status.LOST)

    def test_child(self):
        """cachify.h: "A lease belongs to the process that took it.  A child made by fork() has
        none.\""""
        lease = self.instance.acquire(self.key)
        child = os.fork()
        if child == 0:
            right = False
            try:
                right = (not lease.held and self.instance.is_locked(self.key) and
                         lib.cachify_release(byref(lease.c)) == Status.INVALID)
            finally:
                os._exit(0 if right else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual((lease.held, lease.release()), (True, Status.OK))

    def test_threads_go_on(self):
        """A call that waits lets Python's other threads run, and one of them can end the wait."""
        other, = self.agents(1)
        other.ask(f'lease = c.acquire({self.key!r})')
        got = []
        thread = threading.Thread(target=lambda: got.append(
            self.instance.acquire(self.key, wait=True, timeout_ms=15000)))
        thread.start()
        self.assertTrue(eventually(lambda: self.instance.query(self.key).waiters == 1))
        self.assertEqual(got, [])
        other.ask('lease.release()')
        thread.join(15)
        self.assertEqual(got[0].release(), Status.OK)

    # ---- Event loops ----

    def test_event_loop(self):
        """cachify.h: "The same from an event loop: nothing here blocks": asyncio's add_reader, in
        this process and another."""
        other, = self.agents(1)
        other.ask(f'lease = c.acquire({self.key!r})')

        async def one():
            lease = await client.acquire(self.instance, self.key)
            self.assertTrue(lease.held)
            await asyncio.sleep(0)
            self.assertEqual(lease.release(), Status.OK)

        async def many():
            waiting = [asyncio.create_task(one()) for _ in range(10)]
            while self.instance.query(self.key).waiters < 10:
                await asyncio.sleep(0.001)
            other.ask('lease.release()')
            await asyncio.gather(*waiting)
        asyncio.run(asyncio.wait_for(many(), 15))
        self.assertEqual(self.instance.query(self.key).waiters, 0)

    def test_event_loop_gives_up(self):
        """cachify.h, finish: "TIMEOUT"; cancel: nobody waits any more; wait false: "LOCKED"."""
        other, = self.agents(1)
        other.ask(f'lease = c.acquire({self.key!r})')

        async def times_out():
            start = time.monotonic()
            with self.assertRaises(CachifyError) as raised:
                await client.acquire(self.instance, self.key, timeout_ms=100)
            self.assertEqual(raised.exception.status, Status.TIMEOUT)
            self.assertGreaterEqual(time.monotonic() - start, 0.1)

        async def is_cancelled():
            task = asyncio.create_task(client.acquire(self.instance, self.key))
            while self.instance.query(self.key).waiters == 0:
                await asyncio.sleep(0.001)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(self.instance.query(self.key).waiters, 0)
        asyncio.run(asyncio.wait_for(times_out(), 15))
        asyncio.run(asyncio.wait_for(is_cancelled(), 15))
        self.fails(Status.LOCKED, self.instance.acquire_start, self.key, wait=False)
        self.assertEqual(lib.cachify_async_fd(None), -1)
        other.ask('lease.release()')

    # ---- Callbacks ----

    def test_wrapped(self):
        """wrap.h: "Call it: fill the template, acquire, call, release.  [...] result is the
        function's: its type, its place."  Every type of argument arrives as it was given."""
        given = ('text', '', 'é', -2**63, 2**64 - 1, 0.1, True)
        names = [f'p{i}' for i in range(len(given))]
        seen = []

        def function(lease, *values):
            seen.append(values)
            self.assertTrue(lib.cachify_lease_held(lease))
            self.assertTrue(wrapped.is_locked(*given))
            return -5
        wrapped = Wrapped(self.instance, self.key + '{p0}', names, function)
        self.assertEqual(wrapped(*given), -5)
        self.assertEqual([seen[0], [*map(type, seen[0])]], [given, [*map(type, given)]])
        self.assertFalse(wrapped.is_locked(*given))
        wrapped.free()

    def test_wrapped_raises(self):
        """An exception does not pass through C: the lock is given back, then it is raised."""
        def function(lease, n):
            return wrapped(n - 1) if n else 1 // n
        wrapped = Wrapped(self.instance, self.key + '{n}', ['n'], function)
        with self.assertRaises(ZeroDivisionError):
            wrapped(3)
        self.assertEqual([wrapped.is_locked(n) for n in range(4)], [False] * 4)
        wrapped.free()

    def test_wrapped_once(self):
        """wrap.h: "with CACHIFY_ONCE: what the result is if the lock is busy, and the call is OK";
        a function may meet itself: "Locks are not reentrant"."""
        plain = Wrapped(self.instance, self.key, [], lambda lease: plain())
        self.fails(Status.LOCKED, plain)
        once = Wrapped(self.instance, self.key, [], lambda lease: once() + 1, once=True,
                       if_locked=2**40)
        self.assertEqual(once(), 2**40 + 1)
        self.assertEqual((plain.key(), once.key()), (self.key + '-lock', self.key + '-once'))
        lost = Wrapped(self.instance, self.key, [], lambda lease: lost.release())
        self.fails(Status.LOST, lost)
        for wrapped in plain, once, lost:
            wrapped.free()
