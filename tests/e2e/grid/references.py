"""Pictures as other programs write and read them: Pillow, and for what that has not (JPEG XL, 16 bits) imagecodecs.

make DIRECTORY      writes a source of each kind in each format that holds it: DIRECTORY/KIND.FORMAT; prints their names
compare DIRECTORY   reads "SOURCE RESULT" a line, names of files in it, and prints for each what the result is, as JSON
"""

import io
import json
import struct
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy
from PIL import Image

WIDTH, HEIGHT = 48, 32
FRAMES = 3


def picture(turn=0):
    """Smooth, with an edge in it, of 16 bits; `turn` moves it."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    x = (x + 12 * turn) % WIDTH
    red, green = x / (WIDTH - 1), y / (HEIGHT - 1)
    blue = 0.5 + 0.4 * numpy.sin(x / 9) * numpy.cos(y / 7)
    disc = (x - 16) ** 2 + (y - 16) ** 2 < 80
    color = numpy.where(disc[..., None], [0.9, 0.3, 0.1], numpy.stack([red, green, blue], -1))
    return numpy.round(color * 65535).astype(numpy.uint16)


def alpha():
    """From clear to opaque, all of which is in it; of 16 bits."""
    x = numpy.linspace(-0.2, 1.2, WIDTH).clip(0, 1)
    return numpy.round(numpy.tile(x, (HEIGHT, 1)) * 65535).astype(numpy.uint16)


def light(words):
    """The light that sRGB's values stand for: what imagecodecs tells a JPEG XL of 16 bits to be."""
    x = words / 65535
    return numpy.round(numpy.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) * 65535).astype(numpy.uint16)


def values(parts):
    """The other way round, of parts of one."""
    return numpy.where(parts <= 0.0031308, parts * 12.92, 1.055 * parts ** (1 / 2.4) - 0.055)


def bytes_of(words):
    return ((words.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8)


def png16(words):
    """A PNG of 16 bits, RGB, without filters: what Pillow does not write."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in words)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff16(words):
    """A TIFF of 16 bits, RGB, in one strip as it is."""
    data = words.astype("<u2").tobytes()
    fields = [
        (256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 14), (277, 3, 1, 3), (278, 4, 1, HEIGHT), (279, 4, 1, len(data)),
    ]
    head = b"II*\0" + struct.pack("<I", 14 + len(data)) + struct.pack("<HHH", 16, 16, 16)
    listed = b"".join(struct.pack("<HHII", *field) for field in fields)
    return head + data + struct.pack("<H", len(fields)) + listed + struct.pack("<I", 0)


def saved(image, name, **options):
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def sources():
    opaque = Image.fromarray(bytes_of(picture()), "RGB")
    clear = Image.fromarray(numpy.dstack([bytes_of(picture()), bytes_of(alpha())]), "RGBA")
    # Of a GIF a pixel is clear or not.
    holes = Image.fromarray(numpy.dstack([bytes_of(picture()), (bytes_of(alpha()) > 127) * numpy.uint8(255)]), "RGBA")
    moving = [Image.fromarray(bytes_of(picture(turn)), "RGB") for turn in range(FRAMES)]
    frames = {"save_all": True, "append_images": moving[1:], "duration": 100, "loop": 0}
    jxl = imagecodecs.jpegxl_encode
    yield "opaque.jpeg", saved(opaque, "JPEG", quality=95, subsampling=0)
    yield "opaque.png", saved(opaque, "PNG")
    yield "opaque.gif", saved(opaque, "GIF")
    yield "opaque.webp", saved(opaque, "WEBP", lossless=True)
    yield "opaque.avif", saved(opaque, "AVIF", quality=95, subsampling="4:4:4")
    yield "opaque.jxl", jxl(numpy.asarray(opaque), lossless=True)
    yield "opaque.bmp", saved(opaque, "BMP")
    yield "opaque.tiff", saved(opaque, "TIFF", compression="tiff_lzw")
    yield "opaque.ico", saved(opaque, "ICO", sizes=[(WIDTH, HEIGHT)])
    yield "alpha.png", saved(clear, "PNG")
    yield "alpha.gif", saved(holes, "GIF")
    yield "alpha.webp", saved(clear, "WEBP", lossless=True, exact=True)
    yield "alpha.avif", saved(clear, "AVIF", quality=95, subsampling="4:4:4")
    yield "alpha.jxl", jxl(numpy.asarray(clear), lossless=True)
    yield "alpha.tiff", saved(clear, "TIFF", compression="tiff_adobe_deflate")
    yield "alpha.ico", saved(clear, "ICO", sizes=[(WIDTH, HEIGHT)])
    yield "deep.png", png16(picture())
    yield "deep.tiff", tiff16(picture())
    yield "deep.avif", imagecodecs.avif_encode(picture() >> 4, level=95, bitspersample=12, pixelformat="444")
    yield "deep.jxl", jxl(light(picture()), lossless=True)
    yield "moving.gif", saved(moving[0], "GIF", **frames)
    yield "moving.webp", saved(moving[0], "WEBP", lossless=True, **frames)
    yield "moving.avif", saved(moving[0], "AVIF", quality=95, subsampling="4:4:4", **frames)
    yield "moving.jxl", jxl(numpy.stack([numpy.asarray(frame) for frame in moving]), lossless=True)


def deep(bytes_, name):
    """Pixels of more than 8 bits, as parts of one; none where there are none, or Pillow reads all there is of them."""
    if name == "avif":
        words = imagecodecs.avif_decode(bytes_)
        most = 4095 if words.dtype == numpy.uint16 else 255
    elif name == "png":
        words = imagecodecs.png_decode(bytes_)
        most = numpy.iinfo(words.dtype).max
    elif name == "tiff":
        words = imagecodecs.tiff_decode(bytes_)
        most = numpy.iinfo(words.dtype).max
    elif name == "jxl":
        words = imagecodecs.jpegxl_decode(bytes_)
        most = numpy.iinfo(words.dtype).max
    else:
        return None
    if words.dtype != numpy.uint16 and name != "jxl":
        return None
    if words.ndim == 2:
        words = words[..., None]
    if words.shape[-1] < 3:
        words = numpy.concatenate([words[..., :1]] * 3 + [words[..., 1:]], -1)
    if words.shape[-1] == 3:
        words = numpy.concatenate([words, numpy.full_like(words[..., :1], most)], -1)
    return words.astype(float) / most


def frames_of(path):
    """All frames of a file, as RGBA in parts of one."""
    name, bytes_ = path.suffix[1:], path.read_bytes()
    found = deep(bytes_, name)
    if path.name == "deep.jxl":
        found[..., :3] = values(found[..., :3])
    if found is not None:
        return [found] if found.ndim == 3 else list(found)
    image = Image.open(io.BytesIO(bytes_))
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frames.append(numpy.asarray(image.convert("RGBA")).astype(float) / 255)
    return frames


def over_white(frame):
    return frame[..., :3] * frame[..., 3:] + 1 - frame[..., 3:]


def compare(directory):
    for line in sys.stdin:
        names = line.split()
        source, result = (frames_of(directory / name) for name in names)
        first, made = source[0], result[0]
        report = {"frames": len(result), "size": [made.shape[1], made.shape[0]]}
        if made.shape == first.shape:
            # As they are seen, in levels of 8 bits: in the mean of all pixels of all frames, and the worst alpha.
            shown = zip(source, result)
            report["error"] = float(numpy.mean([numpy.abs(over_white(a) - over_white(b)).mean() for a, b in shown])) * 255
            report["alpha"] = float(numpy.abs(first[..., 3] - made[..., 3]).max()) * 255
        print(json.dumps(report))


def main():
    command, directory = sys.argv[1], Path(sys.argv[2])
    if command == "make":
        for name, bytes_ in sources():
            (directory / name).write_bytes(bytes_)
            print(name)
    else:
        compare(directory)


main()
