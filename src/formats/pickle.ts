import { UserError } from '../protocol/errors.ts';
import type { PickleValue } from './pickle-values.ts';
import {
  PICKLE_OP as OP,
  PickleCall,
  PickleDict,
  PickleGlobal,
  PickleList,
  PicklePersistent,
  PickleTuple,
} from './pickle-values.ts';

const MARK = Symbol('mark');
type Slot = PickleValue | typeof MARK;

class PickleMachine {
  private readonly path: string;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly allowed: ReadonlySet<string>;
  private readonly memo = new Map<number, PickleValue>();
  private readonly stack: Slot[] = [];
  private position = 0;

  constructor(path: string, bytes: Uint8Array, allowed: ReadonlySet<string>) {
    this.path = path;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.allowed = allowed;
  }

  run(): PickleValue {
    for (;;) {
      const at = this.position;
      const opcode = this.uint(1);
      if (opcode === OP.STOP) return this.pop();
      if (!this.literal(opcode) && !this.container(opcode) && !this.reference(opcode)) {
        throw this.fault(`opcode 0x${opcode.toString(16).padStart(2, '0')} at byte ${at} is not allowed`);
      }
    }
  }

  private fault(problem: string): UserError {
    return new UserError(
      'torch/pickle',
      `${this.path}: ${problem}; only a dict of dense tensors is read, and nothing is executed.`,
      'Save the rotations again with torch.save as a plain dict of float tensors.',
    );
  }

  private take(length: number): number {
    const start = this.position;
    if (start + length > this.bytes.length) throw this.fault('the pickle ends too early');
    this.position += length;
    return start;
  }

  private uint(width: 1 | 2 | 4): number {
    const start = this.take(width);
    if (width === 1) return this.view.getUint8(start);
    return width === 2 ? this.view.getUint16(start, true) : this.view.getUint32(start, true);
  }

  private text(length: number): string {
    const start = this.take(length);
    return new TextDecoder().decode(this.bytes.subarray(start, start + length));
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw this.fault('the pickle ends too early');
    const text = this.text(end - this.position);
    this.position++;
    return text;
  }

  private pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined || value === MARK) throw this.fault('the stack is empty');
    return value;
  }

  private popToMark(): PickleValue[] {
    const start = this.stack.lastIndexOf(MARK);
    if (start < 0) throw this.fault('a mark is missing');
    return this.stack.splice(start).slice(1) as PickleValue[];
  }

  private popMany(count: number): PickleValue[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  /** Pushes a value without parts. */
  private literal(opcode: number): boolean {
    switch (opcode) {
      case OP.PROTO: {
        const version = this.uint(1);
        if (version !== 2) throw this.fault(`pickle protocol ${version} (torch.save writes 2)`);
        return true;
      }
      case OP.NONE:
        return this.push(null);
      case OP.TRUE:
      case OP.FALSE:
        return this.push(opcode === OP.TRUE);
      case OP.BININT:
        return this.push(this.uint(4) | 0);
      case OP.BININT1:
        return this.push(this.uint(1));
      case OP.BININT2:
        return this.push(this.uint(2));
      case OP.LONG1:
        return this.push(this.long(this.uint(1)));
      case OP.BINFLOAT:
        return this.push(this.view.getFloat64(this.take(8), false));
      case OP.BINUNICODE:
        return this.push(this.text(this.uint(4)));
      case OP.SHORT_BINSTRING:
        return this.push(this.text(this.uint(1)));
      default:
        return false;
    }
  }

  private push(value: Slot): true {
    this.stack.push(value);
    return true;
  }

  /** Reads little-endian two's complement of any length. */
  private long(length: number): number {
    const start = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[start + i]!);
    const number = Number(BigInt.asIntN(8 * length, value));
    if (!Number.isSafeInteger(number)) throw this.fault('an integer is out of range');
    return number;
  }

  private container(opcode: number): boolean {
    switch (opcode) {
      case OP.MARK:
        return this.push(MARK);
      case OP.POP:
        this.pop();
        return true;
      case OP.EMPTY_DICT:
        return this.push(new PickleDict());
      case OP.EMPTY_LIST:
        return this.push(new PickleList());
      case OP.EMPTY_TUPLE:
        return this.push(new PickleTuple([]));
      case OP.TUPLE:
        return this.push(new PickleTuple(this.popToMark()));
      case OP.TUPLE1:
      case OP.TUPLE2:
      case OP.TUPLE3:
        return this.push(new PickleTuple(this.popMany(opcode - OP.TUPLE1 + 1)));
      case OP.APPEND:
        return this.append(this.popMany(1));
      case OP.APPENDS:
        return this.append(this.popToMark());
      case OP.SETITEM:
        return this.setItems(this.popMany(2));
      case OP.SETITEMS:
        return this.setItems(this.popToMark());
      default:
        return false;
    }
  }

  private append(items: PickleValue[]): true {
    const list = this.stack.at(-1);
    if (!(list instanceof PickleList)) throw this.fault('items are appended to what is not a list');
    for (const item of items) list.items.push(item);
    return true;
  }

  private setItems(items: PickleValue[]): true {
    const dict = this.stack.at(-1);
    if (!(dict instanceof PickleDict) || items.length % 2 !== 0)
      throw this.fault('items are set in something that is not a dict');
    for (let i = 0; i < items.length; i += 2) dict.entries.set(items[i]!, items[i + 1]!);
    return true;
  }

  /** Handles globals, calls and the memo. */
  private reference(opcode: number): boolean {
    switch (opcode) {
      case OP.GLOBAL:
        return this.global();
      case OP.REDUCE:
        return this.call();
      case OP.BUILD:
        // An OrderedDict's attributes (a state_dict's _metadata) are not data.
        this.pop();
        if (!(this.stack.at(-1) instanceof PickleDict))
          throw this.fault('a state is set on something that is not a dict');
        return true;
      case OP.BINPERSID:
        return this.push(new PicklePersistent(this.pop()));
      case OP.BINPUT:
        return this.put(this.uint(1));
      case OP.LONG_BINPUT:
        return this.put(this.uint(4));
      case OP.BINGET:
        return this.get(this.uint(1));
      case OP.LONG_BINGET:
        return this.get(this.uint(4));
      default:
        return false;
    }
  }

  private global(): true {
    const name = `${this.line()}.${this.line()}`;
    if (!this.allowed.has(name)) throw this.fault(`global ${name} is not allowed`);
    return this.push(new PickleGlobal(name));
  }

  private call(): true {
    const [callee, args] = this.popMany(2);
    if (!(callee instanceof PickleGlobal) || !(args instanceof PickleTuple))
      throw this.fault('a call has no name');
    if (callee.name !== 'collections.OrderedDict') return this.push(new PickleCall(callee.name, args.items));
    if (args.items.length > 0) throw this.fault('an OrderedDict is made from arguments');
    return this.push(new PickleDict());
  }

  private put(index: number): true {
    const top = this.stack.at(-1);
    if (top === undefined || top === MARK) throw this.fault('the stack is empty');
    this.memo.set(index, top);
    return true;
  }

  private get(index: number): true {
    const value = this.memo.get(index);
    if (value === undefined) throw this.fault(`memo ${index} is empty`);
    return this.push(value);
  }
}

/**
 * Reads a pickle as data: no global is resolved, and no call is made.
 * @param allowed the only globals that may appear, as `module.name`.
 * @throws UserError `torch/pickle` naming the opcode or global.
 */
export function parsePickle(path: string, bytes: Uint8Array, allowed: ReadonlySet<string>): PickleValue {
  return new PickleMachine(path, bytes, allowed).run();
}
