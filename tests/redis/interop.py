"""C and Python on one server: py-cachify's Redis client, lock and decorator as its documentation has
them, beside the C library (hand.c).  Started by interop, with $HAND and $SERVER."""
import functools
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import redis

SECONDS = 20
PREFIX = 'PYC-'
HAND = os.environ['HAND']
FREE, HELD, EXPIRED = 0, 1, 2
NEVER = 2**63 - 1


# ---- The reference, as it is in Python ----

class RedisClient:
    """get: pickle.loads; set: pickle.dumps, whole seconds; delete: DEL."""

    def __init__(self, connection):
        self.connection = connection

    def get(self, key):
        value = self.connection.get(key)
        return pickle.loads(value) if value else None

    def set(self, key, value, ttl=None, nx=False):
        return self.connection.set(name=key, value=pickle.dumps(value), ex=ttl, nx=nx)

    def delete(self, *keys):
        return self.connection.delete(*keys)


class CachifyLockError(Exception):
    pass


class Lock:
    """lock(key, nowait, timeout, exp), a context manager and a decorator."""

    def __init__(self, client, key, nowait=True, timeout=None, exp=30, poll=0.1):
        self.client, self.key, self.nowait = client, key, nowait
        self.timeout, self.exp, self.poll = timeout, exp, poll

    def full(self, *args, **kwargs):
        return PREFIX + self.key.format(*args, **kwargs)

    def __enter__(self):
        end = None if self.timeout is None else time.monotonic() + self.timeout
        while not self.client.set(self.full(), 1, ttl=self.exp, nx=True):
            if self.nowait or (end is not None and time.monotonic() >= end):
                raise CachifyLockError(f'{self.key} is already locked!')
            time.sleep(self.poll)
        return self

    def release(self):
        self.client.delete(self.full())

    def __exit__(self, *unused):
        self.release()

    def is_locked(self):
        return bool(self.client.get(self.full()))

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(**kwargs):
            with Lock(self.client, self.key.format(**kwargs) + '-lock', self.nowait, self.timeout,
                      self.exp, self.poll):
                return function(**kwargs)
        return wrapped


def count(url, key, number, path, seconds):
    """Like hand.c's count; run in a process of its own."""
    client = RedisClient(redis.Redis(unix_socket_path=url))
    for _ in range(number):
        with Lock(client, key, nowait=False, timeout=60, exp=seconds, poll=0.001):
            with open(path, 'r+', encoding='ascii') as file:
                seen = int(file.read())
                file.seek(0)
                file.write(f'{seen + 1}\n')


# ---- A server, and C ----

class Hand:
    def __init__(self):
        self.process = subprocess.Popen([HAND, 'unix://' + SOCKET], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)

    def start(self, *words):
        self.process.stdin.write(' '.join(str(word) for word in words) + '\n')

    def answer(self):
        return self.process.stdout.readline().split()

    def ask(self, *words):
        self.start(*words)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(SECONDS)


def eventually(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


class Interop(unittest.TestCase):
    def setUp(self):
        self.connection = redis.Redis(unix_socket_path=SOCKET)
        self.connection.flushall()
        self.client = RedisClient(self.connection)
        self.hand = Hand()

    def tearDown(self):
        self.assertEqual(self.hand.close(), 0)
        self.connection.close()

    def lock(self, **options):
        return Lock(self.client, 'job', **options)

    # C holds

    def test_python_sees_what_c_holds(self):
        self.assertFalse(self.lock().is_locked())
        self.assertEqual(self.hand.ask('take', 'job', 60000), ['OK'])
        self.assertTrue(self.lock().is_locked())
        with self.assertRaises(CachifyLockError):
            with self.lock():
                self.fail('Python has the lock that C holds')
        self.assertIsInstance(self.client.get('PYC-job'), bytes)
        self.assertEqual(self.hand.ask('release'), ['OK'])
        self.assertFalse(self.lock().is_locked())
        with self.lock():
            pass

    def test_python_reads_what_c_set(self):
        self.assertEqual(self.hand.ask('set', 'job', 'value'), ['OK'])
        self.assertTrue(self.lock().is_locked())
        self.assertIn(b'value', self.client.get('PYC-job'))

    def test_python_releases_what_c_holds(self):
        self.assertEqual(self.hand.ask('take', 'job', 60000), ['OK'])
        self.lock().release()
        self.assertEqual(self.hand.ask('extend', 60000), ['LOST'])
        self.assertEqual(self.hand.ask('held'), ['LOST'])
        self.assertEqual(self.hand.ask('release'), ['LOST'])

    def test_c_hurts_nobody_after_python_took_it(self):
        self.assertEqual(self.hand.ask('take', 'job', 60000), ['OK'])
        self.lock().release()
        with self.lock() as held:
            self.assertEqual(self.hand.ask('release'), ['LOST'])
            self.assertTrue(held.is_locked())

    def test_python_waits_for_c(self):
        self.assertEqual(self.hand.ask('take', 'job', 60000), ['OK'])
        got = threading.Event()

        def wait():
            with self.lock(nowait=False, timeout=SECONDS, poll=0.01):
                got.set()
        thread = threading.Thread(target=wait)
        thread.start()
        self.assertFalse(got.wait(0.05))
        self.assertEqual(self.hand.ask('release'), ['OK'])
        self.assertTrue(got.wait(SECONDS))
        thread.join()

    def test_python_has_it_when_c_lease_is_over(self):
        self.assertEqual(self.hand.ask('take', 'job', 100), ['OK'])
        self.assertTrue(eventually(lambda: not self.lock().is_locked()))
        with self.lock(exp=60):
            self.assertEqual(self.hand.ask('extend', 60000), ['LOST'])
            self.assertTrue(self.lock().is_locked())

    # Python holds

    def test_c_sees_what_python_holds(self):
        with self.lock(exp=60):
            self.assertEqual(self.hand.ask('locked', 'job'), ['yes', 'OK'])
            self.assertEqual(self.hand.ask('take', 'job', 60000), ['LOCKED'])
            state, pid, left, value_len, _ = self.hand.ask('query', 'job')
            self.assertEqual((int(state), int(pid), int(value_len)), (HELD, 0, 0))
            self.assertTrue(50000 < int(left) <= 60000, left)
            self.assertEqual(self.hand.ask('get', 'job')[0], pickle.dumps(1).hex())
        self.assertEqual(self.hand.ask('locked', 'job'), ['no', 'OK'])
        self.assertEqual(self.hand.ask('query', 'job')[:2], [str(FREE), '0'])

    def test_c_sees_what_python_holds_for_ever(self):
        with self.lock(exp=None):
            self.assertEqual(int(self.hand.ask('query', 'job')[2]), NEVER)

    def test_c_releases_by_key_what_python_holds(self):
        with self.lock(exp=60) as held:
            self.assertEqual(self.hand.ask('force', 'job'), ['OK'])
            self.assertFalse(held.is_locked())

    def test_c_waits_for_python(self):
        with self.lock(exp=60):
            self.hand.start('wait', 'job', 60000)
            self.assertTrue(eventually(lambda: self.connection.zcard('cachify:wait:PYC-job') == 1))
        self.assertEqual(self.hand.answer(), ['OK'])
        self.assertTrue(self.lock().is_locked())
        self.assertEqual(self.hand.ask('release'), ['OK'])

    def test_c_has_it_when_python_second_is_over(self):
        begun = time.monotonic()
        self.lock(exp=1).__enter__()
        self.assertEqual(self.hand.ask('wait', 'job', 60000), ['OK'])
        self.assertGreaterEqual(time.monotonic() - begun, 0.99)

    def test_a_python_function_is_named_as_in_c(self):
        inside = []

        @Lock(self.client, 'order-{id}')
        def work(id):
            inside.append(self.hand.ask('take', f'order-{id}-lock', 60000))
        work(id=7)
        self.assertEqual(inside, [['LOCKED']])
        self.assertEqual(self.hand.ask('take', 'order-7-lock', 60000), ['OK'])
        with self.assertRaises(CachifyLockError):
            work(id=7)
        work(id=8)
        self.assertEqual(self.hand.ask('release'), ['OK'])

    # Both at once

    def test_no_increment_is_lost_between_two_of_each(self):
        number = 150
        with tempfile.NamedTemporaryFile('w', suffix='.counter') as file:
            file.write('0\n')
            file.flush()
            hands = [self.hand, Hand()]
            pythons = [subprocess.Popen([sys.executable, __file__, 'count', 'job', str(number),
                                         file.name]) for _ in range(2)]
            for hand in hands:
                hand.start('count', 'job', number, file.name)
            self.assertEqual([hand.answer() for hand in hands], [['OK'], ['OK']])
            self.assertEqual([python.wait(60) for python in pythons], [0, 0])
            hands[1].close()
            with open(file.name, encoding='ascii') as counter:
                self.assertEqual(int(counter.read()), 4 * number)


SOCKET = os.environ.get('SOCKET', '')

if __name__ == '__main__':
    if sys.argv[1:2] == ['count']:
        count(SOCKET, sys.argv[2], int(sys.argv[3]), sys.argv[4], 60)
        sys.exit(0)
    directory = tempfile.mkdtemp(prefix='cachify-redis.')
    SOCKET = os.environ['SOCKET'] = os.path.join(directory, 'socket')
    server = subprocess.Popen(['redis-server', '--port', '0', '--unixsocket', SOCKET, '--save', '',
                               '--appendonly', 'no', '--dir', directory],
                              stdout=subprocess.DEVNULL)
    try:
        if not eventually(lambda: os.path.exists(SOCKET)):
            sys.exit('redis-server did not start')
        result = unittest.main(exit=False, verbosity=1).result
    finally:
        server.kill()
        server.wait()
        if os.path.exists(SOCKET):
            os.unlink(SOCKET)
        os.rmdir(directory)
    bad = len(result.failures) + len(result.errors)
    share = (result.testsRun - bad) * 100 // max(result.testsRun, 1)
    print(f'{share}%: Checks: {result.testsRun}, Failures: {len(result.failures)}, '
          f'Errors: {len(result.errors)}')
    sys.exit(bad > 0 or result.testsRun == 0)
