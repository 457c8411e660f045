"""Misbehaves as `mode` says, in Python."""

import json
import os
import sys
import time

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import host
from wit_world.imports.types import (
    DecodeHint, Description, Error, ErrorKind, FrameMode, InputKind_Pixels, Output_Pixels, OutputKind_Source, PixelFormat,
    PixelInput, Plan,
)


def throw():
    raise ValueError("as asked")


def refuse():
    raise Err(Error(ErrorKind.INVALID_ARGUMENT, "not that", "mode"))


def loop():
    while True:
        pass


def deep(depth=0):
    return deep(depth + 1) + 1


def deepest():
    sys.setrecursionlimit(10**8)
    return deep()


def memory():
    everything = []
    while True:
        everything.append(bytearray(1 << 20))


def flood():
    for line in range(2000):
        host.log(host.Level.INFO, f"line {line}")
        print("out", line)


def file():
    open("/etc/passwd")


def late():
    import urllib


def clock():
    time.sleep(100)
    host.log(host.Level.INFO, f"at {time.time()} {time.monotonic()} {dict(os.environ)}")


class Plugin(exports.Plugin):
    def describe(self):
        return Description(
            name="bad-py",
            version="0.1.0",
            summary="Misbehaves.",
            input=InputKind_Pixels(PixelInput([PixelFormat.RGB8, PixelFormat.RGBA8], FrameMode.EACH)),
            output=OutputKind_Source(),
            arguments='{"type": "object", "properties": {"mode": {"type": "string"}}}',
            examples=[],
        )

    def plan(self, arguments, source, head):
        return Plan(source.width, source.height, source.pixels, DecodeHint(None, None), 0)

    def run(self, arguments, source, input):
        mode = json.loads(arguments).get("mode")
        if mode is not None:
            globals()[mode]()
        return Output_Pixels(input.value.image)
