import { unzipSync, zipSync } from 'fflate';
import { type Mutation, mutateBytes } from './bytes.ts';
import { mutateJson } from './json.ts';

/** Damages the JSON header of a safetensors file, whose length stays right; or the file as bytes. */
export const mutateSafetensors: Mutation = (input, dice, others) => {
  if (dice.chance(0.4)) return mutateBytes(input, dice, others);
  return mutateSafetensorsHeader(input, dice, others);
};

export const mutateSafetensorsHeader: Mutation = (input, dice, others) => {
  const length = Number(input.readBigUInt64LE());
  const header = mutateJson(input.subarray(8, 8 + length), dice, others);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([prefix, header, input.subarray(8 + length)]);
};

/** Damages a record inside an archive, whose sums and sizes are made right again; or the file as bytes. */
export const mutateZip: Mutation = (input, dice, others) => {
  if (dice.chance(0.4)) return mutateBytes(input, dice, others);
  const files = unzipSync(input);
  const name = dice.chance(0.6) ? 'archive/data.pkl' : dice.pick(Object.keys(files));
  const records = others.map((other) => Buffer.from(unzipSync(other)[name] ?? other));
  files[name] = new Uint8Array(mutateBytes(Buffer.from(files[name]!), dice, records));
  const level = dice.chance(0.3) ? 6 : 0;
  return Buffer.from(zipSync(files, { level, mtime: new Date(1980, 0, 1) }));
};
