"""The reference's examples and rules, between processes.  A docstring quotes what it proves."""
import tempfile
import time

from agent import AgentRaised
from support import Case, eventually

USAGE = """
from py_cachify import lock

@lock('my_lock_key-{arg}', nowait=True)
def my_function(arg: str) -> None:
    # Critical section of code goes here
    pass


with lock('my_lock_key'):
    # Critical section of code goes here
    pass

async with lock('my_async_lock_key'):
    # Critical section of async code goes here
    pass
"""

INSTANCE = """
from py_cachify import init_cachify

# Create a dedicated instance that does not affect the global client
local_cachify = init_cachify(is_global=False, prefix='LOCAL-')

local_lock = local_cachify.lock(key='local-lock-{name}')

with local_lock:
    # Critical section protected by the local instance
    ...
"""

IS_LOCKED = "my_function.is_locked(arg='arg-value')  # returns bool"
RELEASE = "my_function.release(arg='arg-value')  # forcefully releases the lock"

POLLING = """
from py_cachify import init_cachify, lock

# Use a longer polling interval to reduce Redis load
init_cachify(lock_poll_interval=0.5)

# This lock will check every 500ms when waiting
@lock(key='heavy-operation', nowait=False, timeout=30)
def process_large_dataset():
    ...
"""

# The lock of this key, held by who runs it; and given back.
HOLD = 'held = face.lock({!r}); held.__enter__()'
DROP = 'held.release()'

# Adds to the number in a file, and gives others every chance to come between.
COUNT = """
import time
def add():
    with open({file!r}, 'r+') as file:
        number = int(file.read())
        time.sleep(0)
        file.seek(0)
        file.write(str(number + 1))
face.init_cachify(lock_poll_interval=0.001)
"""
COUNT_SYNC = """
for _ in range({times}):
    with face.lock('counter', nowait=False, timeout=20):
        add()
"""
COUNT_ASYNC = """
async def some():
    for _ in range({times} // 4):
        async with face.lock('counter', nowait=False, timeout=20):
            add()
            await asyncio.sleep(0)
await asyncio.gather(some(), some(), some(), some())
"""
COUNT_C = """
for _ in range({times}):
    lease = c.acquire('counter', wait=True, timeout_ms=20000)
    add()
    lease.release()
"""


class Reference(Case):
    def refuses(self, agent, source, key):
        """The source's lock is somebody else's."""
        with self.assertRaises(AgentRaised) as refused:
            agent.ask(source)
        self.assertEqual(refused.exception.args,
                         ('CachifyLockError', f'{key} is already locked!'))

    def test_usage_example(self):
        """Usage Example; "CachifyLockError: Raised when an operation on a lock is invalid or a lock
        cannot be acquired.\""""
        here, there = self.agents(2)
        for key in 'my_lock_key', 'my_async_lock_key':
            here.ask(USAGE)  # nobody holds it
            there.ask(HOLD.format(key))
            self.refuses(here, USAGE, key)
            there.ask(DROP)
        here.ask(USAGE + 'my_function("x")')

    def test_decorator(self):
        """"Decorator to acquire a lock for the wrapped function on call, for both synchronous and
        asynchronous functions.\""""
        here, there = self.agents(2)
        here.ask(USAGE)
        there.ask(HOLD.format('my_lock_key-x-lock'))
        self.refuses(here, 'my_function("x")', 'my_lock_key-x-lock')
        self.refuses(here, 'my_function(arg="x")', 'my_lock_key-x-lock')
        here.ask('my_function("y")')
        asynchronous = """
@face.lock('my_lock_key-{arg}')
async def other(arg):
    return arg, await other.is_locked(arg)
answer = await other(%r)
"""
        self.assertEqual(here.ask(asynchronous % 'y'), ('y', True))
        self.refuses(here, asynchronous % 'x', 'my_lock_key-x-lock')
        self.assertTrue(here.ask('answer = await other.is_locked("x")'))
        here.ask('await other.release("x")')
        self.assertFalse(there.ask('answer = held.is_locked()'))

    def test_instance_based_usage(self):
        """Instance-based usage; "local_cachify.lock(...) uses a client that is completely
        independent from the global one.\""""
        here, there = self.agents(2)
        here.ask(INSTANCE)
        there.ask(HOLD.format('local-lock-{name}'))  # of the global one
        here.ask(INSTANCE)
        there.ask(INSTANCE + 'local_lock.__enter__()')
        self.refuses(here, INSTANCE, 'local-lock-{name}')
        self.assertEqual([self.store.get(prefix + 'local-lock-{name}')
                          for prefix in ('PYC-', 'LOCAL-', '')], [1, 1, None])
        there.ask('local_lock.release(); held.release()')

    def test_not_initialised(self):
        """"If py-cachify is not initialized through init_cachify with is_global=True, using the
        global lock factory or decorators will raise a CachifyInitError."  "Cachify instances
        created with is_global=False do not depend on global initialization.\""""
        here, = self.agents(1)
        here.ask('face._global = None')
        with self.assertRaises(AgentRaised) as refused:
            here.ask(USAGE)
        self.assertEqual(refused.exception.args[0], 'CachifyInitError')
        here.ask(INSTANCE)

    def test_releasing_and_checking(self):
        """"my_function.is_locked(arg='arg-value')  # returns bool", "my_function.release(
        arg='arg-value')  # forcefully releases the lock": across processes."""
        here, there = self.agents(2)
        here.ask(USAGE)
        self.assertIs(here.ask('answer = ' + IS_LOCKED), False)
        there.ask(HOLD.format('my_lock_key-arg-value-lock'))
        self.assertIs(here.ask('answer = ' + IS_LOCKED), True)
        here.ask(RELEASE)
        self.assertIs(here.ask('answer = ' + IS_LOCKED), False)
        self.assertIs(there.ask('answer = held.is_locked()'), False)
        here.ask('my_function("arg-value")')

    def test_methods(self):
        """"arelease() -> None: Release the lock that is currently held, asynchronously."
        "is_alocked() -> bool: Check if the lock is currently held asynchronously.\""""
        here, there = self.agents(2)
        there.ask(HOLD.format(self.key))
        lock = f'face.lock({self.key!r})'
        self.assertIs(here.ask(f'answer = await {lock}.is_alocked()'), True)
        here.ask(f'await {lock}.arelease()')
        self.assertIs(there.ask('answer = await held.is_alocked()'), False)

    def test_polling(self):
        """Lock Polling; "This lock will check every 500ms when waiting"; "Once the lock is acquired
        or the timeout expires, polling stops.\""""
        here, there = self.agents(2)
        there.ask(HOLD.format('heavy-operation-lock'))
        here.begin(POLLING + """
import time
tries = []
class Store:
    def __getattr__(self, name): return getattr(real, name)
    def set(self, *given, **more):
        tries.append(time.monotonic())
        real.set('tries', len(tries))
        return real.set(*given, **more)
real, face._global.sync = face._global.sync, Store()
process_large_dataset()
answer = tries
""")
        self.assertTrue(eventually(lambda: (self.store.get('tries') or 0) >= 2))
        self.assertFalse(here.answered(0))
        there.ask(DROP)
        tries = here.end()
        self.assertTrue(all(b - a >= 0.5 for a, b in zip(tries, tries[1:])), tries)
        self.assertGreaterEqual(len(tries), 2)

    def test_timeout(self):
        """"timeout: Time in seconds to wait for the lock if nowait is False.\""""
        here, there = self.agents(2)
        there.ask(HOLD.format(self.key))
        lock = f'face.lock({self.key!r}, nowait=False, timeout=0.25)'
        for source in f'{lock}.__enter__()', f'await {lock}.__aenter__()':
            start = time.monotonic()
            self.refuses(here, source, self.key)
            self.assertGreaterEqual(time.monotonic() - start, 0.25)
        there.ask(DROP)

    def test_mutual_exclusion(self):
        """"ensure that your function calls are properly synchronized, preventing race conditions in
        shared resources": sync, async and cachify_acquire with its line, of three processes."""
        times = 60
        with tempfile.NamedTemporaryFile('w+') as file:
            file.write('0')
            file.flush()
            agents = self.agents(3)
            for agent, source in zip(agents, (COUNT_SYNC, COUNT_ASYNC, COUNT_C)):
                agent.begin(COUNT.format(file=file.name) + source.format(times=times))
            for agent in agents:
                agent.end()
            with open(file.name) as counted:
                self.assertEqual(int(counted.read()), 3 * times)

    def test_expiry(self):
        """"exp: Expiration time for the lock.  Defaults to UNSET and falls back to the global
        setting in cachify.\""""
        here, there = self.agents(2)
        start = time.monotonic()
        there.ask(f'held = face.lock({self.key!r}, exp=0.3); held.__enter__()')
        lock = f'face.lock({self.key!r})'
        self.assertTrue(eventually(lambda: not here.ask(f'answer = {lock}.is_locked()'), 5))
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        here.ask(f'other = {lock}; other.__enter__()')
        remaining = self.instance.query(self.key).remaining_ms
        self.assertTrue(20000 < remaining <= 30000, remaining)
        here.ask('other.release(); face.init_cachify(default_lock_expiration=None)')
        here.ask(HOLD.format(self.key))
        self.assertEqual(self.instance.query(self.key).remaining_ms, 2**63 - 1)
        here.ask(DROP)

    def test_killed(self):
        """cachify.h: "it ends by expiry, with this process": a killed holder's lock is free at
        once, though it had no expiry."""
        here, there = self.agents(2)
        there.ask(f'held = face.lock({self.key!r}, exp=None); held.__enter__()')
        self.assertTrue(here.ask(f'answer = face.lock({self.key!r}).is_locked()'))
        there.kill()
        self.assertFalse(here.ask(f'answer = face.lock({self.key!r}).is_locked()'))
        here.ask(HOLD.format(self.key))
        self.assertEqual(self.instance.query(self.key).pid, here.pid)
        here.ask(DROP)

    def test_once(self):
        """wrap.h: "a busy lock may be no error": once, of the same family as lock."""
        here, there = self.agents(2)
        here.ask("""
@face.once('job-{n}', return_on_locked='busy')
def job(n): return n
@face.once('job-{n}', raise_on_locked=True)
async def loud(n): return n
""")
        self.assertEqual(here.ask('answer = job(1), await loud(1)'), (1, 1))
        there.ask(HOLD.format('job-1-once'))
        self.assertEqual(here.ask('answer = job(1)'), 'busy')
        self.refuses(here, 'await loud(1)', 'job-1-once')
        there.ask(DROP)
