"""The operation `dominant-py`: an image's most frequent colours, as JSON. The contract is sdk/wit; `wit_world` is what
componentize-py makes of it."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import host
from wit_world.imports.types import (
    DecodeHint, Description, Error, ErrorKind, Example, FrameMode, InputKind_Pixels, Media, Output_Encoded,
    OutputKind_Encoded, PixelFormat, PixelInput, Plan,
)

from colours import dominant

# What a request may say in `args`: a JSON Schema, by which the host checks requests before this is called.
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "count": {
            "description": "How many colours, from 1 to 16.",
            "type": "integer",
            "minimum": 1,
            "maximum": 16,
            "default": 5,
        },
    },
    "additionalProperties": False,
}
# As many pixels as are counted: more tell no more.
SIDE = 128


def count_of(arguments):
    return json.loads(arguments).get("count", 5)


class Plugin(exports.Plugin):
    def describe(self):
        return Description(
            name="dominant-py",
            version="0.1.0",
            summary="Tells an image's most frequent colours.",
            input=InputKind_Pixels(PixelInput([PixelFormat.RGB8], FrameMode.EACH)),
            output=OutputKind_Encoded(Media("application/json", "json")),
            arguments=json.dumps(SCHEMA),
            examples=[Example("five colours", "{}")],
        )

    # Called before the client is answered: what cannot be done is refused here, and no pixel is touched.
    def plan(self, arguments, source, head):
        if not 1 <= count_of(arguments) <= 16:
            raise Err(Error(ErrorKind.INVALID_ARGUMENT, "must be from 1 to 16", "count"))
        scale = min(1.0, SIDE / max(1, min(source.width, source.height)))
        return Plan(source.width, source.height, PixelFormat.RGB8, DecodeHint(scale, None), 0)

    def run(self, arguments, source, input):
        image = input.value.image
        host.log(host.Level.DEBUG, f"counts {image.width}x{image.height}")
        colours = dominant(image.data, image.width, image.height, SIDE, count_of(arguments))
        return Output_Encoded(json.dumps({"colours": colours}).encode())
