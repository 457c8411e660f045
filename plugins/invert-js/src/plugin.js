// The operation `invert-js`: inverts colours and keeps alpha. The contract is sdk/wit; names and variants are as JavaScript's tools
// map them.
import { log } from 'imgserve:operation/host@0.1.0';
import { invert } from './invert.js';

// What a request may say in `args`: a JSON Schema, by which the host checks requests before this is called.
const schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    channels: {
      description: 'Which channels, by their letters.',
      type: 'string',
      pattern: '^[rgb]+$',
      default: 'rgb',
    },
  },
  additionalProperties: false,
};

const parse = (json) => ({ channels: 'rgb', ...JSON.parse(json) });

export const plugin = {
  describe() {
    return {
      name: 'invert-js',
      version: '0.1.0',
      summary: 'Inverts the colours of an image.',
      // The host converts what the source has to the first that loses nothing, else to the last.
      input: { tag: 'pixels', val: { formats: ['rgb8', 'rgba8'], frames: 'each' } },
      output: { tag: 'source' },
      arguments: JSON.stringify(schema),
      examples: [{ name: 'a negative', arguments: '{}' }],
    };
  },

  // Called before the client is answered: what cannot be done is refused here, and no pixel is touched.
  plan(args, source) {
    if (!/^[rgb]+$/.test(parse(args).channels)) {
      throw { kind: 'invalid-argument', message: 'channels are letters of r, g and b', argument: 'channels' };
    }
    return { width: source.width, height: source.height, pixels: source.pixels, decode: {}, peakBytes: 0n };
  },

  run(args, source, input) {
    const { image } = input.val;
    log('debug', `inverts ${image.width}x${image.height}`);
    const data = invert(image.data, image.format === 'rgba8' ? 4 : 3, parse(args).channels);
    return { tag: 'pixels', val: { ...image, data } };
  },
};
