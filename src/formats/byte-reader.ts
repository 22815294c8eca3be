import { UserError } from '../protocol/errors.ts';

/** Reads little-endian llama2.c files front to back. Reading past the end is a UserError, not a bug. */
export class ByteReader {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  position = 0;

  constructor(path: string, bytes: Uint8Array) {
    this.path = path;
    // A Buffer's slice is a view of its pool; a plain Uint8Array's is an aligned copy.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private take(length: number, what: string): number {
    const start = this.position;
    if (start + length > this.bytes.length) {
      throw new UserError(
        'llama2c/truncated',
        `${this.path}: ${what} needs bytes ${start} to ${start + length} but the file has ${this.bytes.length}.`,
        'The file is incomplete, or it is not a llama2.c file: copy or download it again.',
      );
    }
    this.position += length;
    return start;
  }

  int32(what: string): number {
    return this.view.getInt32(this.take(4, what), true);
  }

  uint8(what: string): number {
    return this.view.getUint8(this.take(1, what));
  }

  float32(what: string): number {
    return this.view.getFloat32(this.take(4, what), true);
  }

  slice(length: number, what: string): Uint8Array {
    const start = this.take(length, what);
    return this.bytes.slice(start, start + length);
  }
}
