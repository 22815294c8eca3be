/** Every native operator has a definition, a twin of standard operators and a derivative, or a reason not to. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Attributes, Graph, type OpDefinition, type Value } from '../../src/engine/graph/graph.ts';
import { type NativeOperator, nativeOperators, notBuilt } from '../native/support.ts';

const FOLDER = new URL('../../src/engine/graph/fused/', import.meta.url);

type Part = 'compose' | 'gradient';

/** Some operators lack a part, for a reason. The list is exact: what is no longer lacking has to leave it. */
const LACKING: readonly {
  readonly names: readonly string[];
  readonly parts: Part[];
  readonly why: string;
}[] = [
  {
    names: [
      'CausalAttentionGrad',
      'FakeQuantizeScaleGrad',
      'PeakLossGrad',
      'RmsNormGrad',
      'SwiGluGrad',
      'TokenLossGrad',
    ],
    parts: ['gradient'],
    why: 'They are derivatives, and nothing asks for second ones.',
  },
  {
    names: ['CodeGemm', 'GemmBfloat16', 'GemmBfloat16Add', 'SplitGemm', 'SwapAxes', 'Widen'],
    parts: ['gradient'],
    why: 'Lowering puts them in the place of operators that are differentiated by then.',
  },
  {
    names: ['CachedAttention', 'HalfAttention', 'PackedAttention', 'PackCache', 'RotaryHeads', 'StoredRows'],
    parts: ['gradient'],
    why: 'Networks that write token by token learn nothing.',
  },
  {
    names: ['HeadLoss'],
    parts: ['gradient'],
    why: 'Derivatives need the logits, which it forgets: learning has TokenLoss.',
  },
  {
    names: [
      ...['Int4MatMul', 'Int4MatMulAdd', 'KroneckerInt4MatMul', 'PackInt4', 'SwiGluInt4MatMul'],
      'SwiGluKroneckerInt4MatMul',
    ],
    parts: ['gradient'],
    why: 'Weights are packed once they are rounded, and nothing learns any more by then.',
  },
  {
    names: ['Kronecker'],
    parts: ['gradient'],
    why: 'Deployed networks have it; maps that are learned are products of matrices, which have theirs.',
  },
  {
    names: ['FakeQuantizeRows'],
    parts: ['compose', 'gradient'],
    why: 'Lowering puts it in the place of FakeQuantize, which has both, and only for processors with tiles.',
  },
  {
    names: ['QuantizeRows', 'RowMultiples'],
    parts: ['gradient'],
    why: 'RotateBack reads what they round, and its derivative goes to x past them.',
  },
  {
    names: ['AppendTokens', 'TokenBlocks'],
    parts: ['compose', 'gradient'],
    why: 'Exported models have them, which run where there are kernels, and on as many tokens as come.',
  },
  {
    names: ['SecondMoment'],
    parts: ['gradient'],
    why: 'Weights are rounded on second moments, and nothing learns from rounding.',
  },
  {
    names: ['ActivationStatistics'],
    parts: ['compose', 'gradient'],
    why: 'No standard operator counts into bins: without kernels the rows are given out, and nothing learns from statistics.',
  },
  {
    names: ['GptqRound', 'GptqSweep', 'LatticeRound', 'ReverseCholesky'],
    parts: ['compose', 'gradient'],
    why: 'They go column after column, or block after block: loops outside of graphs do it without kernels, and nothing learns from rounding.',
  },
];

function isDefinition(value: unknown): value is OpDefinition {
  return (
    typeof value === 'object' &&
    value !== null &&
    'domain' in value &&
    value.domain === 'spinquant' &&
    'infer' in value
  );
}

/** Lists every definition that a module of the folder exports. */
async function definitions(): Promise<OpDefinition[]> {
  const names = readdirSync(fileURLToPath(FOLDER)).flatMap((file) => /^(.*)\.ts$/.exec(file)?.[1] ?? []);
  const modules = await Promise.all(names.map((name) => import(`../../src/engine/graph/fused/${name}.ts`)));
  return modules.flatMap((module) => Object.values(module).filter(isDefinition));
}

const all = await definitions();
const named = (name: string): OpDefinition[] => all.filter((definition) => definition.name === name);

/** Makes inputs with axes of one size, which suits every operator. */
function inputsOf(type: NativeOperator, withOptional: boolean): Value[] {
  const graph = new Graph();
  const given = type.inputs.filter(({ optional }) => withOptional || !optional);
  return given.map((input, index) => graph.input(`input${index}`, [4, 4, 4, 4], input.type));
}

/** Answers 1 for every attribute: sizes divide everything then, and flags are set. */
const ONES: Attributes = new Proxy({}, { get: () => 1 });

test('every native operator has definitions, exported from graph/fused', { skip: notBuilt }, () => {
  assert.ok(nativeOperators().length > 20);
  const missing = nativeOperators().filter(({ name }) => named(name).length === 0);
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});

test('every definition that is not only composed has a native operator', { skip: notBuilt }, () => {
  const natives = new Set(nativeOperators().map(({ name }) => name));
  const missing = all.filter(({ name, composedOnly }) => !composedOnly && !natives.has(name));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});

for (const part of ['compose', 'gradient'] as const)
  test(`every native operator has its ${part}, or a reason`, { skip: notBuilt }, () => {
    const lacking = nativeOperators().filter(
      ({ name }) => !named(name).every((definition) => definition[part]),
    );
    const excused = LACKING.filter(({ parts }) => parts.includes(part)).flatMap(({ names }) => names);
    assert.deepEqual(lacking.map(({ name }) => name).sort(), excused.sort());
  });

test('definitions infer as many outputs as the native operators have, of the same types', {
  skip: notBuilt,
}, () => {
  for (const type of nativeOperators())
    for (const definition of named(type.name))
      for (const withOptional of [true, false]) {
        const inferred = definition.infer(inputsOf(type, withOptional), ONES);
        assert.deepEqual(
          inferred.map(({ dtype }) => dtype),
          type.outputs.map((output) => output.type),
          type.name,
        );
      }
});
