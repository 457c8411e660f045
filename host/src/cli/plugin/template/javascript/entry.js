// Made by `imgserve plugin build`: what is thrown and is no error of the contract is told with its place.
import { log } from 'imgserve:operation/host@0.1.0';
import { plugin as own } from './src/plugin.js';

const told = (called) => (...parameters) => {
  try {
    return called(...parameters);
  } catch (thrown) {
    if (thrown?.kind === undefined || thrown?.message === undefined) {
      const [place] = (thrown?.stack ?? '').split('\n');
      log('error', place ? `${thrown} (${place})` : `${thrown}`);
    }
    throw thrown;
  }
};

export const plugin = {
  describe: told(own.describe),
  plan: told(own.plan),
  run: told(own.run),
};
