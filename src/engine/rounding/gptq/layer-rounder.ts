import { UserError } from '../../../protocol/errors.ts';
import type { RoundingError } from '../../../protocol/events.ts';
import { type HostTensor, type Tensor, zeros } from '../../../protocol/tensor.ts';
import type { Tensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { type LinearRole, preparedName } from '../../network/layer-inputs.ts';
import type { Network } from '../../network/network.ts';
import { preparedTensors, type RoundedMatrix } from '../../network/rounded-weights.ts';
import { compileErrors, compileMoment, compileRotatedWeight, compileSum, programKey } from './programs.ts';
import { RoundingKernels } from './rounding-kernels.ts';

type Rows = HostTensor<Float32Array>;

/** Σ x xᵀ [n, n] over the rows that a linear layer reads. */
export class SecondMoment {
  readonly #cache: ProgramCache;
  readonly sum: Rows;
  /** Memory of the same size, free while nothing is added: for the widest layers there is no room for a third. */
  readonly spare: Rows;

  constructor(cache: ProgramCache, n: number) {
    this.#cache = cache;
    this.sum = zeros('float32', [n, n]) as Rows;
    this.spare = zeros('float32', [n, n]) as Rows;
  }

  async add(rows: Rows, signal?: AbortSignal): Promise<void> {
    const [tokens, n] = rows.dims as [number, number];
    const program = await this.#cache.get(`second-moment ${tokens}x${n}`, (runtime) =>
      compileMoment(runtime, tokens, n),
    );
    await program.run({ rows }, signal, { moment: this.spare });
    const adding = await this.#cache.get(`sum ${n}x${n}`, (runtime) => compileSum(runtime, n));
    await adding.run({ sum: this.sum, addend: this.spare }, signal, { next: this.sum });
  }
}

/** Rounds the linear layers of one network that read the same rows. */
export class LayerRounder {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #kernels: RoundingKernels;
  readonly #damping: number;

  /** @param network merged, with its rotations; its weight quantizer gives the grids. */
  constructor(cache: ProgramCache, network: Network, damping: number) {
    this.#cache = cache;
    this.#network = network;
    this.#kernels = new RoundingKernels(cache);
    this.#damping = damping;
  }

  /** @param seen of what the layers read; its spare memory is used. */
  async *round(
    layer: number,
    roles: readonly LinearRole[],
    seen: SecondMoment,
    signal?: AbortSignal,
  ): AsyncGenerator<{ role: LinearRole; matrix: RoundedMatrix; error: RoundingError }, void> {
    const moment = seen.sum;
    requireFinite(moment, layer, roles);
    const factor = await this.#kernels.factor(moment, this.#damping, seen.spare, signal);
    for (const role of roles) {
      const rotated = await this.#rotated(layer, role, signal);
      const [w, scale, zero] = [rotated.w!, rotated.scale!, rotated.zero!] as [Rows, Rows, Rows];
      const [rows, columns] = w.dims as [number, number];
      const { bits } = this.#network.options.quantizers.weights;
      const grid = { scale: scale.data, zero: zero.data };
      const codes = await this.#kernels.round({ w: w.data, rows, columns, bits, ...grid }, factor, signal);
      const matrix = { rows, columns, codes, ...grid };
      yield { role, matrix, error: await this.#error(role, rotated, matrix, moment, signal) };
    }
  }

  /** W' with its grid, and rounded to nearest on it. */
  async #rotated(layer: number, role: LinearRole, signal?: AbortSignal): Promise<Record<string, HostTensor>> {
    const { shape, types, tensors } = this.#network.layerContext(layer, { batch: 1, sequence: 1 });
    const key = programKey(`weight ${role}`, shape, types);
    const program = await this.#cache.get(key, (runtime) =>
      compileRotatedWeight(runtime, shape, types, role),
    );
    return program.run({ ...tensors, ...this.#network.matrices(layer) }, signal);
  }

  async #error(
    role: LinearRole,
    rotated: Tensors,
    matrix: RoundedMatrix,
    moment: Tensor,
    signal?: AbortSignal,
  ): Promise<RoundingError> {
    const { rows, columns } = matrix;
    const program = await this.#cache.get(`gptq errors ${rows}x${columns}`, (runtime) =>
      compileErrors(runtime, rows, columns),
    );
    const rounded = preparedTensors(role, matrix, false)[preparedName(role)]!;
    const energies = await program.run({ ...rotated, rounded, moment }, signal);
    const [all, nearest, gptq] = [total(energies.all!), total(energies.byNearest!), total(energies.byGptq!)];
    return { linear: role, error: share(gptq, all), nearest: share(nearest, all) };
  }
}

function total({ data }: HostTensor): number {
  return (data as Float32Array).reduce((sum, value) => sum + value, 0);
}

const share = (part: number, all: number): number => (all > 0 ? part / all : 0);

function requireFinite(moment: Rows, layer: number, roles: readonly LinearRole[]): void {
  const n = moment.dims[0]!;
  for (let i = 0; i < n; i++) {
    if (!Number.isFinite(moment.data[i * n + i]!)) {
      throw new UserError(
        'rounding/not-finite',
        `What ${roles.join(', ')} of layer ${layer} read is not finite on the calibration text.`,
        'The network overflows there: check the checkpoint, or use another calibration text.',
      );
    }
  }
}
