/** Which products of a graph become those of bfloat16. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { causalAttention } from '../../src/engine/graph/fused/causal-attention.ts';
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { scaledRows, withAddedProducts } from '../../src/engine/graph/fused/gemm-bfloat16.ts';
import { byteCodes } from '../../src/engine/graph/fused/row-codes.ts';
import { widened } from '../../src/engine/graph/fused/widen.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { atPrecision, onVectors, type Precision } from '../../src/engine/graph/lower/tiles.ts';
import { add } from '../../src/engine/graph/ops/elementwise.ts';
import { gemm } from '../../src/engine/graph/ops/matmul.ts';
import { toReal } from '../../src/engine/graph/ops/shape.ts';
import { type Rewrite, rebuild } from '../../src/engine/graph/rebuild.ts';

const activation = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };

test('products with bfloat16 weights keep these as they are, and leave nothing behind', () => {
  const graph = new Graph();
  const x = graph.input('x', [64, 64]);
  const w = graph.input('w', [64, 64], 'bfloat16');
  const y = gemm(x, toReal(w), { transB: true });
  const once = rebuild(graph, { y }, atPrecision('float32'));
  const twice = rebuild(once.graph, once.outputs, () => null);
  assert.deepEqual(
    twice.graph.nodes.map(({ op }) => op.name),
    ['GemmBfloat16'],
  );
});

test('two pieces are for graphs that ask for them, and large products only', () => {
  const graph = new Graph();
  const x = graph.input('x', [64, 96]);
  const w = graph.input('w', [64, 96], 'bfloat16');
  const y = gemm(x, toReal(w), { transB: true });
  const outputs = { y, outer: gemm(y, x, { transA: true }), small: gemm(graph.input('z', [2, 64]), x) };
  const operators = (precision: Precision) => {
    const once = rebuild(graph, outputs, atPrecision(precision));
    const twice = rebuild(once.graph, once.outputs, () => null);
    return twice.graph.nodes.map(({ op, attributes }) => `${op.name} ${attributes.pieces ?? ''}`.trim());
  };
  assert.deepEqual(operators('float32'), ['GemmBfloat16 3', 'Gemm', 'Gemm']);
  assert.deepEqual(operators('bfloat16x2'), ['GemmBfloat16 2', 'SplitGemm 2', 'Gemm']);
  assert.deepEqual(operators('bfloat16-all'), ['GemmBfloat16 1', 'SplitGemm 1', 'Gemm']);
});

test('derivatives alone are rounded to one piece, or all products, in tiles and on vectors', () => {
  const graph = new Graph();
  const x = graph.input('x', [64, 96]);
  const w = graph.input('w', [64, 96]);
  const y = gemm(x, w, { transB: true });
  const [dx] = gradients([[y, graph.input('dy', [64, 64])]], [x]);
  const operators = (rewrite: Rewrite) =>
    rebuild(graph, { y, dx: dx! }, rewrite).graph.nodes.map(({ op, attributes }) =>
      `${op.name} ${attributes.pieces ?? ''}`.trim(),
    );
  assert.deepEqual(operators(atPrecision('bfloat16x2')), ['SplitGemm 2', 'SplitGemm 2']);
  assert.deepEqual(operators(atPrecision('bfloat16')), ['SplitGemm 2', 'SplitGemm 1']);
  assert.equal(onVectors('float32'), null);
  assert.deepEqual(operators(onVectors('bfloat16x2')!), ['Gemm', 'Gemm']);
  assert.deepEqual(operators(onVectors('bfloat16')!), ['Gemm', 'SplitGemm 1']);
  for (const rewrite of [atPrecision('bfloat16-all'), onVectors('bfloat16-all')!])
    assert.deepEqual(operators(rewrite), ['SplitGemm 1', 'SplitGemm 1']);
});

test('on vectors, products of derivatives alone are taken in bytes', () => {
  const graph = new Graph();
  const [x, w] = [graph.input('x', [64, 96]), graph.input('w', [64, 96], 'bfloat16')];
  const scaled = scaledRows({
    codes: graph.input('codes', [96, 96], 'bfloat16'),
    scale: graph.input('s', [96]),
  });
  const codes = byteCodes(x, activation).rounded;
  const y = gemm(x, toReal(w), { transB: true });
  const outputs = {
    y,
    ...graph.deriving(true, () => ({
      ofFloats: gemm(graph.input('g', [64, 96]), x, { transA: true }),
      ofWeights: gemm(x, toReal(w), { transB: true }),
      ofScaled: gemm(x, scaled),
      ofCodes: gemm(codes, graph.input('m', [96, 96])),
    })),
  };
  const inBytes = (rewrite: Rewrite) => {
    const rebuilt = rebuild(graph, outputs, rewrite).outputs;
    const names = Object.keys(outputs) as (keyof typeof outputs)[];
    return names.map((name) => [
      rebuilt[name]!.node!.attributes.pieces,
      rebuilt[name]!.node!.attributes.bytes,
    ]);
  };
  const one = [1, undefined];
  const bytes = [1, 1];
  assert.deepEqual(inBytes(onVectors('int8')!), [one, bytes, bytes, bytes, bytes]);
  assert.deepEqual(inBytes(onVectors('bfloat16-all')!), [one, one, one, one, one]);
  assert.deepEqual(inBytes(atPrecision('int8')), [one, one, one, one, one]);
});

test('on vectors, floats by codes are products in two pieces, and multiples by bfloat16 weights exact', () => {
  const graph = new Graph();
  const x = graph.input('x', [64, 96]);
  const codes = { codes: graph.input('codes', [64, 96], 'bfloat16'), scale: graph.input('scale', [64]) };
  const weight = toReal(graph.input('w', [64, 96], 'bfloat16'));
  const outputs = {
    byCodes: gemm(x, scaledRows(codes), { transB: true }),
    ofMultiples: gemm(fakeQuantize(x, activation), weight, { transB: true }),
    byWeight: gemm(x, weight, { transB: true }),
  };
  const once = rebuild(graph, outputs, onVectors('bfloat16x2')!);
  const { nodes } = rebuild(once.graph, once.outputs, () => null).graph;
  const products = nodes.filter(({ op }) => op.name.startsWith('Gemm'));
  assert.deepEqual(
    products.map(({ op, inputs }) => `${op.name} ${inputs.length}`),
    ['GemmBfloat16 3', 'GemmBfloat16 4', 'Gemm 2'],
  );
});

test('a product that is only added takes up what it is added to; one that is read elsewhere does not', () => {
  const graph = new Graph();
  const x = graph.input('x', [64, 64]);
  const product = (name: string) => gemm(x, toReal(graph.input(name, [64, 64], 'bfloat16')));
  const [first, second, read] = [product('a'), product('b'), product('c')];
  const outputs = { sum: add(add(first, second), x), read, alsoRead: add(read, x) };
  const tiled = rebuild(graph, outputs, atPrecision('float32'));
  const fused = rebuild(
    tiled.graph,
    tiled.outputs,
    withAddedProducts(tiled.graph, Object.values(tiled.outputs)),
  );
  const last = rebuild(fused.graph, fused.outputs, () => null);
  const names = last.graph.nodes.map(({ op }) => op.name).sort();
  assert.deepEqual(names, ['Add', 'Add', 'GemmBfloat16', 'GemmBfloat16', 'GemmBfloat16Add']);
});

test('products of quantized rows are products of whole numbers, at any precision', () => {
  const graph = new Graph();
  const x = fakeQuantize(graph.input('x', [64, 96]), activation);
  const headed = fakeQuantize(graph.input('h', [64, 96]), { ...activation, group: 8, includeZero: false });
  const weight = { codes: graph.input('w', [64, 96], 'bfloat16'), scale: graph.input('s', [64]) };
  const matrix = graph.input('m', [96, 96]);
  const bytes = byteCodes(graph.input('b', [64, 96]), activation).rounded;
  const outputs = {
    bytes: gemm(bytes, matrix),
    bytesLeft: gemm(graph.input('h2', [64, 96]), bytes, { transA: true }),
    codes: gemm(x, scaledRows(weight), { transB: true }),
    right: gemm(x, matrix),
    left: gemm(graph.input('g', [64, 96]), x, { transA: true }),
    headed: gemm(headed, matrix),
  };
  const rewritten = rebuild(graph, outputs, atPrecision('float32'));
  const inputsOf = (name: keyof typeof outputs) => {
    const node = rewritten.outputs[name]!.node!;
    const quantizers = ['FakeQuantizeRows', 'QuantizeRows', 'RowMultiples'];
    const fromRows = node.inputs.filter((value) => quantizers.includes(value.node?.op.name ?? '')).length;
    return `${node.op.name} ${node.inputs.length} ${fromRows}`;
  };
  // Both results of the quantizer, and for weights their codes and scales.
  assert.equal(inputsOf('codes'), 'GemmBfloat16 4 2');
  assert.equal(inputsOf('bytes'), 'CodeGemm 3 2');
  assert.equal(inputsOf('bytesLeft'), 'CodeGemm 3 2');
  assert.equal(inputsOf('right'), 'SplitGemm 3 2');
  assert.equal(inputsOf('left'), 'SplitGemm 3 2');
  assert.equal(inputsOf('headed'), 'Gemm 2 0');
});

test('large tensors of bfloat16 are converted on all threads, and small ones by ONNX Runtime', () => {
  const graph = new Graph();
  const [large, small] = [graph.input('w', [512, 128], 'bfloat16'), graph.input('s', [512, 127], 'bfloat16')];
  const { nodes } = rebuild(graph, { large: toReal(large), small: toReal(small) }, widened).graph;
  assert.deepEqual(
    nodes.map(({ op }) => op.name),
    ['Widen', 'Cast'],
  );
});

test('scores have as many pieces backward as forward', () => {
  const graph = new Graph();
  const [q, k, v] = ['q', 'k', 'v'].map((name) => graph.input(name, [1, 64, 32])) as [Value, Value, Value];
  const [o] = causalAttention(q, k, v, { scale: 1, rows: 64, window: 0 });
  const [dq] = gradients([[o, graph.input('do', o.dims)]], [q]);
  const pieces = (rewrite: Rewrite) =>
    rebuild(graph, { o, dq: dq! }, rewrite).graph.nodes.map(
      ({ attributes }) => `${attributes.pieces ?? 'float32'} ${attributes.score_pieces ?? ''}`,
    );
  for (const [precision, onTiles, ofVectors] of [
    ['float32', ['float32 ', 'float32 '], null],
    ['bfloat16x2', ['2 2', '2 2'], ['float32 ', 'float32 ']],
    ['bfloat16', ['2 2', '1 2'], ['float32 ', '1 2']],
    ['bfloat16-all', ['1 1', '1 1'], ['1 1', '1 1']],
    ['int8', ['1 1', '1 1'], ['1 1', '1 1']],
  ] as const) {
    assert.deepEqual(pieces(atPrecision(precision)), onTiles, precision);
    const rewrite = onVectors(precision);
    assert.deepEqual(rewrite && pieces(rewrite), ofVectors, precision);
  }
});
