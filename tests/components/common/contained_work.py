"""Contained functions for the tests: a worker imports this module by its name."""

import ctypes
import os
import resource
import signal
import time

from components.common.contained import Budget, Stopped, call
from components.common.errors import TumourError


def echo(head, parts):
    return head, parts


def spin(head, parts):
    while True:
        pass


def spin_without_the_interpreter(head, parts):
    """Holds Python's lock in a call of C, as a codec does."""
    pow(7, 7**9, 7**9 - 2)
    bytes(2**20).count(b"\1" * 100)
    return spin(head, parts)


def sleep(head, parts):
    time.sleep(600)


def eat(head, parts):
    return {"bytes": len(bytearray(head["bytes"]))}, []


def die(head, parts):
    ctypes.string_at(0)


def leave(head, parts):
    os._exit(head["code"])


def refuse(head, parts):
    raise TumourError("NOT_HU", "a message", "a hint")


def fail(head, parts):
    raise KeyError("Doe^Jane")


def write(head, parts):
    with open(head["path"], "w") as file:  # noqa: PTH123
        file.write("x" * 100_000)
    return {}, []


def environment(head, parts):
    return dict(os.environ), []


def process(head, parts):
    return {"parent": os.getppid()}, []


def inner_spin(head, parts):
    """Two calls within this one: the first is stopped, and the second has what is left."""
    try:
        call(spin, {}, [], Budget(head["inner"], 2**24))
    except Stopped as error:
        outcome = error.reason
    return {"first": outcome, "second": call(echo, {"a": 1}, [b"x" * 2**20], Budget(1, 2**24))[0]}, []


def many_inner_spins(head, parts):
    for _ in range(100):
        try:
            call(spin, {}, [], Budget(0.1, 2**24))
        except Stopped:
            continue


def time_left(head, parts):
    """What is left of this call's time after short calls within it, and what they and this one took."""
    for _ in range(20):
        call(echo, {}, [bytes(2**22)], Budget(1, 2**26))
    left, children = signal.getitimer(signal.ITIMER_PROF)[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"left": left, "used": time.process_time() + children.ru_utime + children.ru_stime}, []
