"""The client protocol over cachify_set, cachify_get and cachify_release_key; and what C sees of it."""
import asyncio
import pickle

import cachify
import client
from agent import AgentRaised
from support import Case, eventually
from wrap import Wrapped

ONE_OF_MANY = """
store = client.SyncClient(segment)
answer = [n for n in range({count}) if store.set(f'{key}-{{n}}', n, nx=True)]
"""


class Store(Case):
    def test_upsert(self):
        """"When nx=False, a set call should behave like a normal upsert and overwrite existing
        values.\""""
        self.assertIsNone(self.store.get(self.key))
        for value in 1, 'text', 'é\0', b'bytes', [1, {'a': (2.5, None)}], 'x' * 4000:
            self.assertTrue(self.store.set(self.key, value))
            self.assertEqual(self.store.get(self.key), value)
        self.store.delete(self.key)
        self.assertIsNone(self.store.get(self.key))
        self.store.delete(self.key)  # of what is not there: no error

    def test_set_if_not_exists(self):
        """"When nx=True, a set call must atomically set the value only if the key does not already
        exist, and return a truthy indication on success and a falsy indication otherwise.\""""
        self.assertTrue(self.store.set(self.key, 1, nx=True))
        self.assertFalse(self.store.set(self.key, 2, nx=True))
        self.assertEqual(self.store.get(self.key), 1)
        self.store.delete(self.key)
        self.assertTrue(self.store.set(self.key, 3, nx=True))

    def test_set_if_not_exists_of_many(self):
        """"must atomically set the value only if the key does not already exist": of three
        processes that set the same keys at once, each key goes to one."""
        agents = self.agents(3)
        for agent in agents:
            agent.begin(ONE_OF_MANY.format(count=60, key=self.key))
        won = [n for agent in agents for n in agent.end()]
        self.assertEqual(sorted(won), list(range(60)))

    def test_asynchronous(self):
        """"relies on an underlying cache client": the asynchronous one has the same methods."""
        store = client.AsyncClient(self.store)

        async def use():
            self.assertTrue(await store.set(self.key, 'a', ex=60, nx=True))
            self.assertFalse(await store.set(self.key, 'b', ex=60, nx=True))
            self.assertTrue(await store.set(self.key, 'c'))
            self.assertEqual(await store.get(self.key), 'c')
            await store.delete(self.key)
            self.assertIsNone(await store.get(self.key))
        asyncio.run(use())

    def test_expiry(self):
        """cachify.h: "it ends by expiry": ex, in seconds; None is never; 0 is refused here, for
        exp_ms 0 is the default."""
        self.store.set('PYC-' + self.key, 1, ex=0.05)
        self.assertTrue(eventually(lambda: self.store.get('PYC-' + self.key) is None))
        self.assertEqual(self.instance.query(self.key).state, cachify.State.EXPIRED)
        self.assertTrue(self.store.set('PYC-' + self.key, 2, ex=60, nx=True))
        self.assertTrue(59000 < self.instance.query(self.key).remaining_ms <= 60000)
        self.store.set('PYC-' + self.key, 2)
        self.assertEqual(self.instance.query(self.key).remaining_ms, cachify.NEVER)
        for ex in 0, -1:
            with self.assertRaises(ValueError):
                self.store.set(self.key, 1, ex=ex)

    def test_too_much(self):
        """cachify.h: "at most value_max bytes"; a longer value is an error, not cut."""
        with self.assertRaises(cachify.CachifyError) as refused:
            self.store.set(self.key, 'x' * 5000)
        self.assertEqual(refused.exception.status, cachify.Status.INVALID)
        self.assertIsNone(self.store.get(self.key))

    def test_c_view(self):
        """The same key through cachify_acquire in one process and the client protocol in another:
        each excludes the other, and sees it."""
        here, there = self.agents(2)
        full = 'PYC-' + self.key
        there.ask(f'lease = c.acquire({self.key!r})')
        self.assertFalse(self.store.set(full, 1, nx=True))
        self.assertTrue(self.store.get(full))  # an empty note: truth is what is_locked asks for
        self.assertTrue(here.ask(f'answer = face.lock({self.key!r}).is_locked()'))
        with self.assertRaises(AgentRaised) as refused:
            here.ask(f'face.lock({self.key!r}).__enter__()')
        self.assertEqual(refused.exception.args[0], 'CachifyLockError')
        there.ask('lease.release()')

        here.ask(f'held = face.lock({self.key!r}); held.__enter__()')
        with self.assertRaises(AgentRaised) as refused:
            there.ask(f'c.acquire({self.key!r})')
        self.assertEqual(refused.exception.args[0], 'CachifyError')
        self.assertIn(f'{self.key} is already locked! Held by process {here.pid} ',
                      refused.exception.args[1])
        info = self.instance.query(self.key)
        self.assertEqual((info.state, info.pid), (cachify.State.HELD, here.pid))
        self.assertEqual(pickle.loads(info.value), 1)
        here.ask('held.release()')
        there.ask(f'c.acquire({self.key!r}).release()')

    def test_c_notes(self):
        """A C holder's note is read as bytes; a value of the client's is a note for C."""
        lease = self.instance.acquire(self.key, value=b'job 7')
        self.assertEqual(self.store.get('PYC-' + self.key), b'job 7')
        lease.release()
        self.store.set('PYC-' + self.key, 'seven')
        self.assertEqual(pickle.loads(self.instance.get(self.key)), 'seven')

    def test_c_upsert_ends_lease(self):
        """cachify.h: "Without nx it overwrites, and so ends another's lease.\""""
        lease = self.instance.acquire(self.key)
        self.agents(1)[0].ask(f'held = face._global.sync.set("PYC-{self.key}", 2)')
        self.assertFalse(lease.held)
        self.assertEqual(lease.release(), cachify.Status.LOST)
        self.assertEqual(self.store.get('PYC-' + self.key), 2)

    def test_c_wrapped(self):
        """wrap.h: "holds PYC-ship-4711-lock": the key of a decorator of the reference, so that a
        function in C and one in Python exclude each other."""
        here, = self.agents(1)
        here.ask("""
@face.lock('ship-{order}')
def ship(order): return order
""")
        ship = Wrapped(self.instance, 'ship-{order}', ['order'],
                       lambda lease, order: here.ask(f'answer = ship.is_locked({order})'))
        self.assertEqual(ship(4711), 1)
        self.assertEqual(here.ask('answer = ship(4711), ship.is_locked(4711)'), (4711, False))
        here.ask('held = face.lock("ship-4711-lock"); held.__enter__()')
        self.assertTrue(ship.is_locked(4711))
        with self.assertRaisesRegex(cachify.CachifyError, 'ship-4711-lock is already locked!'):
            ship(4711)
        ship.release(4711)
        self.assertFalse(here.ask('answer = held.is_locked()'))
        ship.free()

    def test_c_waiter_is_woken(self):
        """cachify.h, release_key: "wakes waiters": the client's delete hands the lock to who
        waits in C, long before the next look."""
        here, there = self.agents(2)
        here.ask(f'held = face.lock({self.key!r}); held.__enter__()')
        there.begin(f'lease = c.acquire({self.key!r}, wait=True, timeout_ms=15000)\n'
                    'answer = lease.origin.how')
        self.assertTrue(eventually(lambda: self.instance.query(self.key).waiters == 1))
        here.ask('held.release()')
        self.assertEqual(there.end(), cachify.How.FRESH)
        there.ask('lease.release()')
