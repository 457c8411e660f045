// Misbehaves as `mode` says, in JavaScript.
import { log } from 'imgserve:operation/host@0.1.0';

const deep = (depth) => deep(depth + 1) + 1;

const modes = {
  throw: () => { throw new TypeError('as asked'); },
  refuse: () => { throw { kind: 'invalid-argument', message: 'not that', argument: 'mode' }; },
  loop: () => { for (;;); },
  deep: () => deep(0),
  memory: () => { for (const all = []; ; ) all.push(new Uint8Array(1 << 20).fill(1)); },
  flood: () => {
    for (let line = 0; line < 2000; line++) {
      log('info', `line ${line}`);
      console.log(`out ${line}`);
    }
  },
  fetch: () => { fetch('http://127.0.0.1/'); },
  clock: () => log('info', `at ${Date.now()} ${performance.now()}`),
};

export const plugin = {
  describe() {
    return {
      name: 'bad-js',
      version: '0.1.0',
      summary: 'Misbehaves.',
      input: { tag: 'pixels', val: { formats: ['rgb8', 'rgba8'], frames: 'each' } },
      output: { tag: 'source' },
      arguments: '{"type": "object", "properties": {"mode": {"type": "string"}}}',
      examples: [],
    };
  },

  plan(args, source) {
    return { width: source.width, height: source.height, pixels: source.pixels, decode: {}, peakBytes: 0n };
  },

  run(args, source, input) {
    modes[JSON.parse(args).mode]?.();
    return { tag: 'pixels', val: input.val.image };
  },
};
