"""The library through an FFI."""
import os
import sys
import unittest

import cachify


class Binding(unittest.TestCase):
    def setUp(self):
        self.name = f'cachify-ffi-{os.getpid()}'
        self.instance = cachify.Instance(name=self.name)

    def tearDown(self):
        self.instance.close()
        os.unlink('/dev/shm/' + self.name)

    def test_busy(self):
        """A lock excludes, and says who has it."""
        lease = self.instance.acquire('a')
        self.assertTrue(lease.held)
        with self.assertRaisesRegex(cachify.CachifyError, 'a is already locked!'):
            self.instance.acquire('a')
        lease.release()


def main():
    result = unittest.TextTestRunner(verbosity=0).run(
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    checks = result.testsRun - len(result.skipped)
    failures, errors = len(result.failures), len(result.errors)
    share = (checks - failures - errors) * 100 // max(checks, 1)
    print(f'{share}%: Checks: {checks}, Failures: {failures}, Errors: {errors}')
    return not result.wasSuccessful()


if __name__ == '__main__':
    sys.exit(main())
