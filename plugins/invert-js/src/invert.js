// The work itself, which knows nothing of imgserve and is tested by itself.

/** Inverts the samples of pixels of three or four channels, as far as `letters` (of r, g and b) names them; gives the pixels. */
export function invert(data, channels, letters) {
  // What 12 bytes are inverted by: four pixels of three channels, or three of four.
  const mask = Uint8Array.from({ length: 12 }, (_, at) => (letters.includes('rgba'[at % channels]) ? 0xff : 0));
  const [first, second, third] = new Uint32Array(mask.buffer);
  const pixels = data.byteOffset % 4 === 0 ? data : data.slice();
  // Four samples at a time: in a component JavaScript is interpreted, and each step of a loop costs.
  const words = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length >> 2);
  let at = 0;
  for (; at + 2 < words.length; at += 3) {
    words[at] ^= first;
    words[at + 1] ^= second;
    words[at + 2] ^= third;
  }
  for (at *= 4; at < pixels.length; at++) {
    pixels[at] ^= mask[at % 12];
  }
  return pixels;
}
