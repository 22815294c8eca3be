/**
 * A reporter of Node's test runner: the files of each test that failed, one per line. A test that a helper registered has
 * the helper's file; the test's own stands in the stack of its error.
 */
export default async function* failedFiles(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:fail') continue;
    const { error } = data.details ?? {};
    const stacks = [error?.stack, error?.cause?.stack].join('\n');
    const files = [data.file ?? '', ...(stacks.match(/[^\s():]+\.test\.m?[jt]s/g) ?? [])];
    for (const file of new Set(files)) if (file) yield `${file}\n`;
  }
}
