"""All tests; the last line is libcheck's, for tests/run-suites."""
import sys
import unittest

from support import Case
import test_binding
import test_reference
import test_store
import test_template

MODULES = (test_binding, test_reference, test_store, test_template)


def main(names):
    load = unittest.defaultTestLoader
    tests = unittest.TestSuite(map(load.loadTestsFromModule, MODULES))
    if names:
        tests = load.loadTestsFromNames(names)
    Case.begin()
    try:
        result = unittest.TextTestRunner(verbosity=2 if names else 0).run(tests)
    finally:
        Case.end()
    checks = result.testsRun - len(result.skipped)
    failures, errors = len(result.failures), len(result.errors)
    share = (checks - failures - errors) * 100 // max(checks, 1)
    print(f'{share}%: Checks: {checks}, Failures: {failures}, Errors: {errors}')
    return 0 if result.wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
