"""Functions under a lock named by their arguments: cachify_wrap, with a Python function below."""
import ctypes
import threading
from ctypes import byref, c_bool, c_char_p, c_int64, c_size_t, c_void_p, cast, pointer

from cachify import (KEY_MAX, ONCE, ArgType, cachify_arg_t, cachify_function_t,
                     cachify_wrap_options_t, check, lib, lock_of, made)


def arg_of(value):
    """A cachify_arg_t, made here: cachify_int and the like return a struct with a union by value,
    which ctypes does not promise to take.  Whoever holds it holds value's bytes."""
    arg = cachify_arg_t()
    if isinstance(value, bool):  # before int, which it is one of
        arg.type, arg.as_.b = ArgType.BOOL, value
    elif isinstance(value, int):
        if -2**63 <= value < 2**63:
            arg.type, arg.as_.i = ArgType.INT, value
        elif value < 2**64 and value > 0:
            arg.type, arg.as_.u = ArgType.UINT, value
        else:
            raise OverflowError(f'{value} does not fit 64 bits')  # ctypes would cut it
    elif isinstance(value, float):
        arg.type, arg.as_.d = ArgType.DOUBLE, value
    elif isinstance(value, str):
        text = value.encode()
        arg.type, arg.len, arg.as_.s = ArgType.STRING, len(text), text
    else:
        raise TypeError(f'{value!r}: expected str, int, float or bool')
    return arg


def value_of(arg):
    if arg.type == ArgType.STRING:
        start = cast(arg.as_.s, c_void_p)
        return (ctypes.string_at(start, arg.len) if arg.len else arg.as_.s).decode()
    return {ArgType.INT: arg.as_.i, ArgType.UINT: arg.as_.u, ArgType.DOUBLE: arg.as_.d,
            ArgType.BOOL: arg.as_.b}[arg.type]


def args_of(values):
    return (cachify_arg_t * len(values))(*map(arg_of, values))


class Wrapped:
    """function(lease, *values) returns an int or None; lease: POINTER(cachify_lease_t).

    An exception stays on this side: it is raised again when the C frames are behind.
    """

    def __init__(self, instance, key, parameters, function=lambda lease, *values: None,
                 once=False, if_locked=None, **lock):
        self._function = function
        self._raised = threading.local()
        self._callback = cachify_function_t(self._called)  # has to live as long as this
        names = (c_char_p * len(parameters))(*(name.encode() for name in parameters))
        options = made(cachify_wrap_options_t, function=self._callback, parameters=names,
                       parameter_count=len(parameters), flags=ONCE if once else 0,
                       lock=pointer(lock_of(key, **lock)))
        if if_locked is not None:
            busy = c_int64(if_locked)
            options.result_if_locked = ctypes.addressof(busy)
            options.result_size = ctypes.sizeof(busy)
        handle = c_void_p()
        check(lib.cachify_wrap(instance and instance.handle, byref(options), byref(handle)))
        self._handle = handle

    def _called(self, call):
        try:
            call = call.contents
            values = [value_of(call.args[i]) for i in range(call.count)]
            result = self._function(call.lease, *values)
            cast(call.result, ctypes.POINTER(c_int64))[0] = result or 0
        except BaseException as raised:
            self._raised.it = raised

    def __call__(self, *values):
        result = c_int64()
        self._raised.it = None
        status = lib.cachify_wrap_call(self._handle, args_of(values), len(values),
                                       ctypes.addressof(result))
        raised, self._raised.it = self._raised.it, None
        if raised is not None:
            raise raised
        check(status)
        return result.value

    def key(self, *values):
        room = c_size_t(KEY_MAX + 1)
        text = ctypes.create_string_buffer(room.value)
        check(lib.cachify_wrap_key(self._handle, args_of(values), len(values), text, byref(room)))
        return text.raw[:room.value].decode()

    def is_locked(self, *values):
        locked = c_bool()
        check(lib.cachify_wrap_is_locked(self._handle, args_of(values), len(values),
                                         byref(locked)))
        return locked.value

    def release(self, *values):
        check(lib.cachify_wrap_release(self._handle, args_of(values), len(values)))

    def free(self):
        handle, self._handle = self._handle, None
        check(lib.cachify_wrap_free(handle))
