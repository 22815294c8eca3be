/** Both runtimes make these checks before a run. */
import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import {
  allocate,
  BYTES_PER_ELEMENT,
  elementCount,
  type HostTensor,
  type Tensor,
} from '../../protocol/tensor.ts';
import type { BoundRun, OutputSpec, Session } from './types.ts';

/** @throws UserError `runtime/tensor` unless the memory has the size that dtype and dims require. */
export function requireSize(name: string, tensor: Tensor): void {
  const wanted = elementCount(tensor.dims) * BYTES_PER_ELEMENT[tensor.dtype];
  const found = tensor.kind === 'host' ? tensor.data.byteLength : tensor.byteLength;
  if (found === wanted) return;
  const shape = `${tensor.dtype}[${tensor.dims.join(', ')}]`;
  const source = tensor.kind === 'file' ? ` in ${tensor.path}` : '';
  throw new UserError(
    'runtime/tensor',
    `Tensor ${name}${source} is ${shape}, which takes ${wanted} bytes, but has ${found}.`,
  );
}

/** @throws UserError `runtime/inputs` when an input is missing or unknown. */
export function inputsInOrder(
  names: readonly string[],
  inputs: Readonly<Record<string, Tensor>>,
): readonly Tensor[] {
  const tensors: Tensor[] = [];
  for (const name of names) {
    const tensor = inputs[name];
    if (tensor === undefined) throw wrongInputs(names, inputs);
    requireSize(name, tensor);
    tensors.push(tensor);
  }
  if (Object.keys(inputs).length !== names.length) throw wrongInputs(names, inputs);
  return tensors;
}

function wrongInputs(names: readonly string[], inputs: Readonly<Record<string, Tensor>>): UserError {
  const given = Object.keys(inputs);
  const missing = names.filter((name) => inputs[name] === undefined);
  const unknown = given.filter((name) => !names.includes(name));
  const parts = [
    missing.length > 0 ? `missing: ${missing.join(', ')}` : '',
    unknown.length > 0 ? `unknown: ${unknown.join(', ')}` : '',
  ];
  return new UserError(
    'runtime/inputs',
    `The inputs do not fit the graph (${parts.filter(Boolean).join('; ')}).`,
    `It takes ${names.join(', ')}.`,
  );
}

/**
 * Returns the tensors to fill, by name: the caller's, or new ones of the declared type.
 * @throws UserError `runtime/outputs` for a name that was not declared or a tensor of another type or shape.
 */
export function outputTensors(
  specs: Readonly<Record<string, OutputSpec>>,
  wanted: readonly string[] | Readonly<Record<string, HostTensor>>,
): Record<string, HostTensor> {
  const given = isNames(wanted) ? undefined : wanted;
  const result: Record<string, HostTensor> = {};
  for (const name of isNames(wanted) ? wanted : Object.keys(wanted)) {
    const spec = specs[name];
    if (spec === undefined) {
      throw new UserError(
        'runtime/outputs',
        `The graph has no output ${name}.`,
        `It has ${Object.keys(specs).join(', ')}.`,
      );
    }
    const { dtype, dims } = spec;
    result[name] = given?.[name] ?? {
      kind: 'host',
      dtype,
      dims,
      data: allocate(dtype, elementCount(dims)),
    };
    requireSpec(name, result[name], spec);
  }
  return result;
}

function isNames(
  wanted: readonly string[] | Readonly<Record<string, HostTensor>>,
): wanted is readonly string[] {
  return Array.isArray(wanted);
}

function requireSpec(name: string, tensor: HostTensor, spec: OutputSpec): void {
  const same =
    tensor.dtype === spec.dtype &&
    tensor.dims.length === spec.dims.length &&
    tensor.dims.every((dim, i) => dim === spec.dims[i]);
  if (!same) {
    throw new UserError(
      'runtime/outputs',
      `Output ${name} is ${spec.dtype}[${spec.dims.join(', ')}], but the tensor to fill is ${tensor.dtype}[${tensor.dims.join(', ')}].`,
    );
  }
  requireSize(name, tensor);
}

/** A session whose outputs are declared and checked, whatever computes them. */
export abstract class BoundSession implements Session {
  readonly #specs: Readonly<Record<string, OutputSpec>>;

  constructor(specs: Readonly<Record<string, OutputSpec>>) {
    this.#specs = specs;
  }

  async run(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: readonly string[] | Readonly<Record<string, HostTensor>>,
    signal?: AbortSignal,
  ): Promise<Record<string, HostTensor>> {
    throwIfCancelled(signal);
    const filled = outputTensors(this.#specs, outputs);
    await this.compute(inputs, filled, signal);
    return filled;
  }

  bind(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: readonly string[] | Readonly<Record<string, HostTensor>>,
  ): BoundRun {
    return this.bound(inputs, outputTensors(this.#specs, outputs));
  }

  /** A runtime that has nothing to keep binds anew for each run. */
  protected bound(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, HostTensor>>,
  ): BoundRun {
    const run = async (signal?: AbortSignal): Promise<void> => {
      throwIfCancelled(signal);
      await this.compute(inputs, outputs, signal);
    };
    return { outputs, run, release: () => undefined };
  }

  /** Fills the outputs. */
  protected abstract compute(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, HostTensor>>,
    signal: AbortSignal | undefined,
  ): Promise<void>;

  abstract release(): void;
}
