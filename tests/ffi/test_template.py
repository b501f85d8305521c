"""cachify_wrap_key writes what Python's str.format and repr write."""
import os
import random
import struct

import cachify
from support import Case
from wrap import Wrapped

TEMPLATES = ('{a}', '{0}', '{}', '{a!r}', '{0!r}', '{!r}', '{a!s}', 'x', '', '{{', '}}', '{{{a}}}',
             'key-{a}-{b}', '{b!r}{a!r}', '{1}{0}{1}', '{}-{}', '{a}{0}', '{{a}}{b}', '{00}{01}',
             "'{a!r}'", '\\{a}\n')
REFUSED = ('{', '}', '{a', 'a}', '{c}', '{2}', '{}{}{}', '{}{0}', '{0}{}', '{a!}', '{a!x}', '{ a}',
           '{0a}', '{a}}', '{{a}', '{a!rr}', '{-1}')
NARROWER = ('{a:>8}', '{a!a}', '{a.real}', '{a[0]}', '{a:{b}}')  # Python's; not the library's
TEXTS = ('', 'x', 'arg-value', "it's", '"', '\'"', '\\', '\n\r\t\x01\x1f\x7f', '{a}', '%s', ' ')
NUMBERS = (0, -1, 4711, 2**31, 2**63 - 1, -2**63, 2**63, 2**64 - 1)
FLOATS = (0.0, -0.0, 0.1, 1.0, -1.5, 1e15, 1e16, 123456789012345680.0, 1e22, 1e23, 1e-4, 1e-5,
          5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.30000000000000004,
          float('inf'), -float('inf'), float('nan'), 9007199254740993.0, 9999999999999998.0)


def filled(template, values):
    """As py-cachify fills it: by place and by name."""
    return template.format(*values, **dict(zip('ab', values))) + '-lock'


class Template(Case):
    def made(self, template):
        wrapped = Wrapped(self.instance, template, 'ab')
        self.addCleanup(wrapped.free)
        return wrapped

    def test_table(self):
        """Reference: @lock('my_lock_key-{arg}', nowait=True)"""
        values = TEXTS + NUMBERS + FLOATS + (True, False)
        for template in TEMPLATES:
            wrapped = self.made(template)
            for i, a in enumerate(values):
                pair = (a, values[-i])
                self.assertEqual(wrapped.key(*pair), filled(template, pair), (template, pair))

    def test_random(self):
        """Reference: @lock('my_lock_key-{arg}', nowait=True)"""
        seed = int(os.environ.get('CACHIFY_SEED') or random.SystemRandom().getrandbits(31))
        print(f'seed {seed}', flush=True)
        chance = random.Random(seed)

        def value():
            return chance.choice((
                lambda: ''.join(map(chr, chance.choices(range(1, 128), k=chance.randrange(40)))),
                lambda: chance.randrange(-2**63, 2**64) >> chance.randrange(64),
                lambda: struct.unpack('d', chance.randbytes(8))[0],
                lambda: chance.uniform(-1, 1) * 10.0**chance.randrange(-8, 22),
                lambda: round(chance.uniform(-1000, 1000), chance.randrange(6)),
                lambda: chance.random() < 0.5))()

        templates = [(t, self.made(t)) for t in ('{a}{b}', '{0}{1}', '{}{}', '{a!r}{b!r}')]
        for _ in range(2000 // int(os.environ.get('CACHIFY_ROUNDS') or 1)):
            pair = (value(), value())
            for template, wrapped in templates:
                self.assertEqual(wrapped.key(*pair), filled(template, pair), (template, pair))

    def test_refused(self):
        """What str.format refuses is refused, when the function is wrapped."""
        for template in REFUSED:
            with self.subTest(template):
                with self.assertRaises((ValueError, KeyError, IndexError)):
                    filled(template, (1, 2))
                with self.assertRaises(cachify.CachifyError) as refused:
                    self.made(template)
                self.assertEqual(refused.exception.status, cachify.Status.INVALID)
                self.assertIn(template, refused.exception.details)

    def test_narrower(self):
        """What str.format has beyond wrap.h's grammar is refused as well, not written otherwise."""
        for template in NARROWER:
            with self.subTest(template), self.assertRaises(cachify.CachifyError):
                self.made(template)

    def test_arguments(self):
        """An argument that cannot be in a key is refused, and named."""
        wrapped = self.made('{a}-{b}')
        with self.assertRaisesRegex(cachify.CachifyError, 'argument b .* NUL byte at 1 of 3'):
            wrapped.key('x', 'y\0z')
        with self.assertRaisesRegex(cachify.CachifyError, 'given 1 arguments; expected 2'):
            wrapped.key('x')
        with self.assertRaises(cachify.CachifyError) as refused:
            wrapped.key('x' * 4000, 'y' * 4000)
        self.assertEqual(refused.exception.status, cachify.Status.KEY_TOO_LONG)
