/**
 * First rows of four circulant ±1 matrices of order t whose products with their own transposes sum to 4tI, for the
 * orders 4t that Paley's constructions, doubling and Kronecker products leave open. Found by our own searches: rows
 * constant on the orbits of a group of multipliers modulo t ({±1} for 23 and 29, order 3 for 39 and 43), or T-sequences
 * from Turyn-type sequences (47). The tests check every one.
 */
export const CIRCULANT_ROWS: Readonly<Record<number, readonly [string, string, string, string]>> = {
  23: [
    '+--++-++++----++++-++--',
    '+++-+-+-++-++-++-+-+-++',
    '+---++-+-++++++-+-++---',
    '-+++++---++--++---+++++',
  ],
  29: [
    '++-+++--+-++------++-+--+++-+',
    '+++-+---++++-++++-++++---+-++',
    '-++---++--+-++++++-+--++---++',
    '++-+-+++-++-+----+-++-+++-+-+',
  ],
  39: [
    '--++-+-+++-+-+-----+++--+-+++--++++--+-',
    '-++-++++--+-+--++++--++++++---+-+++-+++',
    '+-------+--++++--+-+++-++-+-++++-+-++-+',
    '-+-----++--++---++-++++++-+-+-++-++-+++',
  ],
  43: [
    '++-+--+---+--++-+++--++--+++---+-+-++-+-++-',
    '+-+++--+-+-+++++--+--+++++++-+-+-+-+-++-+++',
    '+---------+--++-++-+++---++++--+++++--++++-',
    '+------+-+++----++-+++-+-++++---+++--+-++-+',
  ],
  47: [
    '++++++-+-+-+--+++++---++-+--+--+++-++---++-++--',
    '------+-+-+-++--+++---++-+--+--+--++-+-++++++--',
    '------+-+-+-++-----+++--+-++-+++++-++---++-++--',
    '------+-+-+-++--+++---++-+--+---++--+-+------++',
  ],
};
