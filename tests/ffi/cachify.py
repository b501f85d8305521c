"""libcachify through ctypes: the C interface as it is, and thin classes over it.

The library is $CACHIFY_LIBRARY, or what the dynamic linker finds.  Each struct's size is checked
against cachify_sizeof at import.
"""
import ctypes
import ctypes.util
import enum
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, Union, byref, c_bool, c_char, c_char_p,
                    c_double, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p)

NEVER = 2**63 - 1
MAX_MS = 3155760000000
ONCE = 1
VALUE_MAX = 4096  # the most that value_max can be
KEY_MAX = 4096


class Status(enum.IntEnum):
    OK = 0
    LOCKED = 1
    TIMEOUT = 2
    LOST = 3
    DEADLOCK = 4
    NOT_INITIALIZED = 5
    INVALID = 6
    KEY_TOO_LONG = 7
    FULL = 8
    NO_MEMORY = 9
    PERMISSION = 10
    INCOMPATIBLE = 11
    CORRUPT = 12
    GONE = 13
    CANCELLED = 14
    PENDING = 15
    SYSTEM = 16


class How(enum.IntEnum):
    FRESH = 0
    EXPIRED = 1
    OWNER_DIED = 2


class State(enum.IntEnum):
    FREE = 0
    HELD = 1
    EXPIRED = 2
    OWNER_DEAD = 3
    KEPT = 4


class ArgType(enum.IntEnum):
    STRING = 1
    INT = 2
    UINT = 3
    DOUBLE = 4
    BOOL = 5


# ---- Structs ----

class cachify_config_t(Structure):
    _fields_ = [('size', c_uint32), ('mode', c_uint32),
                ('name', c_char_p), ('path', c_char_p), ('fd', c_int32), ('flags', c_uint32),
                ('max_locks', c_uint32), ('key_max', c_uint32), ('value_max', c_uint32),
                ('reserved', c_uint32), ('prefix', c_char_p), ('default_exp_ms', c_int64),
                ('poll_interval_ms', c_int64), ('client', c_void_p)]


class cachify_lock_t(Structure):
    _fields_ = [('size', c_uint32), ('key_len', c_uint32), ('key', c_char_p), ('wait', c_bool),
                ('timeout_ms', c_int64), ('exp_ms', c_int64), ('value', c_char_p),
                ('value_len', c_uint32)]


class cachify_lease_t(Structure):
    _fields_ = [('opaque', c_uint64 * 20)]


class cachify_origin_t(Structure):
    _fields_ = [('size', c_uint32), ('how', c_uint32), ('previous_pid', c_int64),
                ('previous_token', c_uint64)]


class cachify_info_t(Structure):
    _fields_ = [('size', c_uint32), ('state', c_uint32), ('pid', c_int64), ('thread', c_int64),
                ('held_ms', c_int64), ('remaining_ms', c_int64), ('token', c_uint64),
                ('waiters', c_uint32), ('value_len', c_uint32), ('value', c_char * 64),
                ('command', c_char * 16)]


class cachify_arg_as(Union):
    _fields_ = [('s', c_char_p), ('i', c_int64), ('u', c_uint64), ('d', c_double), ('b', c_bool)]


class cachify_arg_t(Structure):
    _fields_ = [('type', c_uint32), ('len', c_uint32), ('as_', cachify_arg_as)]


class cachify_call_t(Structure):
    _fields_ = [('args', POINTER(cachify_arg_t)), ('count', c_uint32), ('reserved', c_uint32),
                ('lease', POINTER(cachify_lease_t)), ('context', c_void_p), ('result', c_void_p)]


cachify_function_t = CFUNCTYPE(None, POINTER(cachify_call_t))


class cachify_wrap_options_t(Structure):
    _fields_ = [('size', c_uint32), ('flags', c_uint32), ('function', cachify_function_t),
                ('context', c_void_p), ('parameters', POINTER(c_char_p)),
                ('parameter_count', c_uint32), ('result_size', c_uint32),
                ('lock', POINTER(cachify_lock_t)), ('result_if_locked', c_void_p)]


STRUCTS = (cachify_config_t, cachify_lock_t, cachify_lease_t, cachify_origin_t, cachify_info_t,
           cachify_arg_t, cachify_call_t, cachify_wrap_options_t)

# ---- Functions: name, result, arguments.  A cachify_status_t is an int. ----

_FUNCTIONS = (
    ('cachify_open', c_int, POINTER(cachify_config_t), POINTER(c_void_p)),
    ('cachify_close', c_int, c_void_p),
    ('cachify_init', c_int, POINTER(cachify_config_t)),
    ('cachify_shutdown', c_int),
    ('cachify_acquire', c_int, c_void_p, POINTER(cachify_lock_t), POINTER(cachify_lease_t)),
    ('cachify_acquire_start', c_int, c_void_p, POINTER(cachify_lock_t), POINTER(c_void_p)),
    ('cachify_async_fd', c_int, c_void_p),
    ('cachify_async_finish', c_int, c_void_p, POINTER(cachify_lease_t)),
    ('cachify_async_cancel', c_int, c_void_p),
    ('cachify_release', c_int, POINTER(cachify_lease_t)),
    ('cachify_extend', c_int, POINTER(cachify_lease_t), c_int64),
    ('cachify_lease_held', c_bool, POINTER(cachify_lease_t)),
    ('cachify_lease_token', c_uint64, POINTER(cachify_lease_t)),
    ('cachify_lease_remaining_ms', c_int64, POINTER(cachify_lease_t)),
    ('cachify_lease_origin', c_int, POINTER(cachify_lease_t), POINTER(cachify_origin_t)),
    ('cachify_is_locked', c_int, c_void_p, c_char_p, POINTER(c_bool)),
    ('cachify_release_key', c_int, c_void_p, c_char_p),
    ('cachify_query', c_int, c_void_p, c_char_p, POINTER(cachify_info_t)),
    ('cachify_set', c_int, c_void_p, POINTER(cachify_lock_t), c_bool),
    ('cachify_get', c_int, c_void_p, c_char_p, c_void_p, POINTER(c_uint32)),
    ('cachify_strerror', c_char_p, c_int),
    ('cachify_last_error', c_char_p),
    ('cachify_version', c_char_p),
    ('cachify_sizeof', c_size_t, c_char_p),
    ('cachify_config_init', None, POINTER(cachify_config_t)),
    ('cachify_lock_init', None, POINTER(cachify_lock_t)),
    ('cachify_lease_init', None, POINTER(cachify_lease_t)),
    ('cachify_origin_init', None, POINTER(cachify_origin_t)),
    ('cachify_info_init', None, POINTER(cachify_info_t)),
    ('cachify_wrap_options_init', None, POINTER(cachify_wrap_options_t)),
    ('cachify_wrap', c_int, c_void_p, POINTER(cachify_wrap_options_t), POINTER(c_void_p)),
    ('cachify_wrap_call', c_int, c_void_p, POINTER(cachify_arg_t), c_uint32, c_void_p),
    ('cachify_wrap_key', c_int, c_void_p, POINTER(cachify_arg_t), c_uint32, c_char_p,
     POINTER(c_size_t)),
    ('cachify_wrap_is_locked', c_int, c_void_p, POINTER(cachify_arg_t), c_uint32,
     POINTER(c_bool)),
    ('cachify_wrap_release', c_int, c_void_p, POINTER(cachify_arg_t), c_uint32),
    ('cachify_wrap_free', c_int, c_void_p),
)


def _load():
    name = os.environ.get('CACHIFY_LIBRARY') or ctypes.util.find_library('cachify')
    if name is None:
        raise ImportError('libcachify is not found; set CACHIFY_LIBRARY to its path')
    loaded = ctypes.CDLL(name)  # not PyDLL: other threads run while a call waits
    for function, result, *arguments in _FUNCTIONS:
        getattr(loaded, function).restype = result
        getattr(loaded, function).argtypes = arguments
    for struct in STRUCTS:
        theirs = loaded.cachify_sizeof(struct.__name__.encode())
        if theirs != ctypes.sizeof(struct):
            raise ImportError(f'{struct.__name__} has {theirs} bytes in {name}, '
                              f'{ctypes.sizeof(struct)} here')
    return loaded


lib = _load()
version = lib.cachify_version().decode()


class CachifyError(Exception):
    """A status other than OK; with what the library says of it."""

    def __init__(self, status, details):
        super().__init__(f'{lib.cachify_strerror(status).decode()}: {details}')
        self.status = status
        self.details = details


def check(number):
    """Raise CachifyError, unless OK.  In the thread that made the call, before its next one."""
    if number != Status.OK:
        raise CachifyError(Status(number), lib.cachify_last_error().decode(errors='replace'))


def ask(number, *others):
    """The status, if it is OK or one of the others; else raise CachifyError."""
    if number not in others:
        check(number)
    return Status(number)


def made(struct, **fields):
    """A struct with its defaults, and these fields."""
    filled = struct()
    getattr(lib, struct.__name__.removesuffix('_t') + '_init')(byref(filled))
    for name, value in fields.items():
        if not hasattr(filled, name):
            raise TypeError(f'{struct.__name__} has no {name}')
        setattr(filled, name, value.encode() if isinstance(value, str) else value)
    return filled


def lock_of(key, value=b'', **fields):
    """A cachify_lock_t.  Lengths are given, so a NUL in the key is refused by the library."""
    key = key.encode()
    return made(cachify_lock_t, key=key, key_len=len(key), value=value, value_len=len(value),
                **fields)


def c_key(key):
    """A key for the calls that take it up to its NUL."""
    if '\0' in key:
        raise ValueError('a key has no NUL')
    return key.encode()


# ---- Classes ----

class Lease:
    """Stays where it is in memory, as the library wants it."""

    def __init__(self):
        self.c = made(cachify_lease_t)

    def __del__(self):
        lib.cachify_release(byref(self.c))  # of an empty one, or a forked child's: nothing

    def release(self):
        return ask(lib.cachify_release(byref(self.c)), Status.LOST)

    def extend(self, exp_ms=0):
        return ask(lib.cachify_extend(byref(self.c), exp_ms), Status.LOST)

    @property
    def held(self):
        return lib.cachify_lease_held(byref(self.c))

    @property
    def token(self):
        return lib.cachify_lease_token(byref(self.c))

    @property
    def remaining_ms(self):
        return lib.cachify_lease_remaining_ms(byref(self.c))

    @property
    def origin(self):
        origin = made(cachify_origin_t)
        lib.cachify_lease_origin(byref(self.c), byref(origin))
        return origin


class Pending:
    """An acquisition under way: wait until fd is readable, then finish."""

    def __init__(self, handle):
        self.handle = handle
        self.fd = lib.cachify_async_fd(handle)

    def finish(self):
        """A lease, or None: wait again."""
        lease = Lease()
        number = lib.cachify_async_finish(self.handle, byref(lease.c))
        if number == Status.PENDING:
            return None
        self.handle = None
        check(number)
        return lease

    def cancel(self):
        handle, self.handle = self.handle, None
        check(lib.cachify_async_cancel(handle))


class Instance:
    opened = set()  # each takes one of the segment's 64 process entries

    def __init__(self, **config):
        handle = c_void_p()
        check(lib.cachify_open(byref(made(cachify_config_t, **config)), byref(handle)))
        self.handle = handle
        Instance.opened.add(self)

    def close(self):
        handle, self.handle = self.handle, None
        Instance.opened.discard(self)
        check(lib.cachify_close(handle))

    @staticmethod
    def close_all():
        while Instance.opened:
            next(iter(Instance.opened)).close()

    def acquire(self, key, **lock):
        lease = Lease()
        check(lib.cachify_acquire(self.handle, byref(lock_of(key, **lock)), byref(lease.c)))
        return lease

    def acquire_start(self, key, **lock):
        handle = c_void_p()
        lock = lock_of(key, **{'wait': True, **lock})
        check(lib.cachify_acquire_start(self.handle, byref(lock), byref(handle)))
        return Pending(handle)

    def is_locked(self, key):
        locked = c_bool()
        check(lib.cachify_is_locked(self.handle, c_key(key), byref(locked)))
        return locked.value

    def release_key(self, key):
        check(lib.cachify_release_key(self.handle, c_key(key)))

    def query(self, key):
        info = made(cachify_info_t)
        check(lib.cachify_query(self.handle, c_key(key), byref(info)))
        return info

    def set(self, key, value, nx=False, **lock):
        """True, or False if nx and there is a value."""
        lock = lock_of(key, value, **lock)
        return ask(lib.cachify_set(self.handle, byref(lock), nx), Status.LOCKED) == Status.OK

    def get(self, key):
        """The value's bytes, or None."""
        room = ctypes.create_string_buffer(VALUE_MAX)
        length = c_uint32(VALUE_MAX)
        status = ask(lib.cachify_get(self.handle, c_key(key), room, byref(length)), Status.LOST)
        return room.raw[:length.value] if status == Status.OK else None
