import { UserError } from '../../../src/protocol/errors.ts';
import { expectSane, type Format } from './format.ts';

/** What a reader may do wrong, by the text of the input. */
const WRONGS: Readonly<Record<string, () => void>> = {
  accepted: () => {},
  refused: () => {
    throw new UserError('x/y', 'It is not right.', 'Mend it.');
  },
  NoHint: () => {
    throw new UserError('x/y', 'It is not right.');
  },
  TypeError: () => {
    throw new TypeError('x is not a function');
  },
  Insane: () => expectSane(false, 'it cannot be'),
  crash: () => process.abort(),
  hang: () => {
    for (;;);
  },
  memory: () => {
    Buffer.alloc(1.2e9, 1);
  },
};

/** It has every fault that there is, to see that the watcher finds them. It is no format of the product. */
export const FAULTY: Format = {
  name: 'faulty',
  open: async () => ({
    originals: [Buffer.from('accepted')],
    mutate: (input) => input,
    read: async (input) => WRONGS[input.toString()]?.(),
  }),
};
