import type { SpeedResult } from '../engine/index.ts';
import type { ContenderSpeed, Rate } from '../protocol/speed.ts';
import { formatBytes, formatCount, formatSeconds } from '../protocol/text.ts';
import { type Align, formatTable } from './table.ts';

const NONE = '–';

/** The machine, the table, that of depths, and how the first network stands against each other one. */
export function speedText(result: SpeedResult): string {
  const { networks, sizes } = result;
  const titles = networks.map(({ name, title }) => `${name}: ${title}`);
  const parts = [machineText(result), titles.join('\n'), speedTable(networks, sizes)];
  if (sizes.depths.length > 0) parts.push(depthTable(networks, sizes.depths));
  parts.push(...comparisons(networks));
  return parts.join('\n\n');
}

function machineText({ machine, bits, sizes }: SpeedResult): string {
  const { processor, instructionSets, threads, readBandwidth } = machine;
  const sets = instructionSets.length === 0 ? [] : [instructionSets.join(', ')];
  const reads = readBandwidth === null ? [] : [`reads ${(readBandwidth / 1e9).toFixed(1)} GB/s`];
  const { promptTokens, tokens, repeat } = sizes;
  return [
    [processor, ...sets, formatCount(threads, 'thread'), ...reads].join(' · '),
    `${bits}: a prompt of ${formatCount(promptTokens, 'token')}, ${tokens} behind it; tokens per second, ${formatCount(repeat, 'round')} in turn`,
  ].join('\n');
}

/** Three digits, without an exponent. */
const digits = (value: number): string => (value < 100 ? value.toPrecision(3) : value.toFixed(0));
const percent = (share: number | null): string => (share === null ? NONE : `${(100 * share).toFixed(0)} %`);
/** How far fastest and slowest lie apart, against the median. */
const spread = ({ fastest, median, slowest }: Rate): string => percent((fastest - slowest) / median);
const columnsOf = (rate: Rate): string[] => [digits(rate.fastest), digits(rate.median), spread(rate)];

function speedTable(
  networks: readonly ContenderSpeed[],
  { promptTokens, tokens }: SpeedResult['sizes'],
): string {
  const head = [
    'network',
    ...[`prompt ${promptTokens}`, 'median', 'spread'],
    ...[`behind it ${tokens}`, 'median', 'spread'],
    ...['weights', 'cache/token', 'of 16 bits', 'of bandwidth', 'first token'],
  ];
  const rows = networks.map((network) => [
    network.name,
    ...columnsOf(network.prompt),
    ...columnsOf(network.decode),
    formatBytes(network.weightBytes),
    network.cacheBytesPerToken === null ? NONE : formatBytes(network.cacheBytesPerToken),
    network.cacheOf16Bits?.toFixed(3) ?? NONE,
    percent(network.ofBandwidth),
    network.firstTokenSeconds === null ? NONE : formatSeconds(network.firstTokenSeconds),
  ]);
  return formatTable(head, rows, alignsOf(head));
}

/** Behind each depth, and the share of the speed behind the first one. */
function depthTable(networks: readonly ContenderSpeed[], depths: readonly number[]): string {
  const head = [
    'tokens before',
    ...depths.flatMap((depth, i) => [String(depth), ...(i > 0 ? ['share'] : [])]),
  ];
  const rows = networks.map(({ name, depths: own }) => [
    name,
    ...own.flatMap(({ decode }, i) => [
      digits(decode.fastest),
      ...(i > 0 ? [percent(decode.fastest / own[0]!.decode.fastest)] : []),
    ]),
  ]);
  return formatTable(head, rows, alignsOf(head));
}

const alignsOf = (head: readonly string[]): Align[] => head.map((_, i) => (i === 0 ? 'left' : 'right'));

/** `2.31`, and of what is far slower `0.0031`. */
const times = (ratio: number): string => (ratio < 0.1 ? ratio.toPrecision(2) : ratio.toFixed(2));

/** `integer against onnx: prompt 2.31 times as fast, behind it 0.71 times (fastest rounds)`. */
function comparisons([first, ...others]: readonly ContenderSpeed[]): string[] {
  if (!first || others.length === 0) return [];
  const lines = others.map(({ name, prompt, decode }) => {
    const [read, written] = [first.prompt.fastest / prompt.fastest, first.decode.fastest / decode.fastest];
    return `${first.name} against ${name}: prompt ${times(read)} times as fast, behind it ${times(written)} times`;
  });
  return [lines.join('\n')];
}
