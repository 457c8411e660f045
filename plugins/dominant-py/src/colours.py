"""The work itself, which knows nothing of imgserve and is tested by itself."""

from collections import Counter


def dominant(data, width, height, side, count):
    """The `count` most frequent colours of an image in rgb8, counted on a grid of at most `side` by `side` pixels, each with its
    part of all. Colours that differ by less than 16 in each sample count as one: their mean."""
    across, down = max(1, width // side), max(1, height // side)
    members, sums = Counter(), {}
    for y in range(0, height, down):
        row = data[y * width * 3:(y + 1) * width * 3]
        pixels = zip(row[0::3 * across], row[1::3 * across], row[2::3 * across])
        for pixel, times in Counter(pixels).items():
            bin = (pixel[0] >> 4, pixel[1] >> 4, pixel[2] >> 4)
            members[bin] += times
            r, g, b = sums.get(bin, (0, 0, 0))
            sums[bin] = (r + pixel[0] * times, g + pixel[1] * times, b + pixel[2] * times)
    total = sum(members.values())
    return [
        {"colour": "#%02x%02x%02x" % tuple(round(part / times) for part in sums[bin]), "part": round(times / total, 4)}
        # The more frequent first, and of those that are alike the darker.
        for bin, times in sorted(members.items(), key=lambda entry: (-entry[1], entry[0]))[:count]
    ]
