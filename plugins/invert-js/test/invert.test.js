import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invert } from '../src/invert.js';

test('colours are inverted and alpha stays', () => {
  const pixels = Uint8Array.from({ length: 28 }, (_, at) => at);
  const wanted = [...pixels].map((sample, at) => (at % 4 === 3 ? sample : 255 - sample));
  assert.deepEqual([...invert(pixels, 4, 'rgb')], wanted);
});

test('channels that are not named stay', () => {
  const pixels = Uint8Array.from({ length: 27 }, (_, at) => at);
  const wanted = [...pixels].map((sample, at) => (at % 3 === 1 ? 255 - sample : sample));
  assert.deepEqual([...invert(pixels.subarray(3), 3, 'g')], wanted.slice(3));
});
