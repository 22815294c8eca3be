/** Runs the named tests of test/native in one process, on the program that `HOST_COMMAND` of host-addon.ts names. */
const TESTS: Readonly<Record<string, () => Promise<unknown>>> = {
  attention: () => import('../attention.test.ts'),
  'byte-products': () => import('../byte-products.test.ts'),
  'gemm-bfloat16': () => import('../gemm-bfloat16.test.ts'),
  hadamard: () => import('../hadamard.test.ts'),
  'head-rows': () => import('../head-rows.test.ts'),
  'int4-exact': () => import('../int4-exact.test.ts'),
  'int4-matmul': () => import('../int4-matmul.test.ts'),
  'int4-rows': () => import('../int4-rows.test.ts'),
  'int4-spans': () => import('../int4-spans.test.ts'),
  'odd-calls': () => import('../odd-calls.test.ts'),
  'pack-cache': () => import('../pack-cache.test.ts'),
  'packed-attention': () => import('../packed-attention.test.ts'),
  quantize: () => import('../quantize.test.ts'),
  'rounded-products': () => import('../rounded-products.test.ts'),
  'second-moment': () => import('../second-moment.test.ts'),
  'token-rows': () => import('../token-rows.test.ts'),
};

for (const name of process.argv.slice(2)) {
  const load = TESTS[name];
  if (load === undefined) throw new Error(`on-host.ts has no line for ${name}`);
  await load();
}

export {};
