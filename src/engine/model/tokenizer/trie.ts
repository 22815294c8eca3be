/** A dictionary of texts that finds all of them that start at a place. Values are whole numbers of at least 0. */
export class Trie {
  /** Child by node × 65536 + UTF-16 unit. One map is far smaller than one for each node. */
  private readonly children = new Map<number, number>();
  /** By node; −1 where no text ends. */
  private readonly values: number[] = [-1];

  set(text: string, value: number): void {
    let node = 0;
    for (let i = 0; i < text.length; i++) {
      const key = node * 0x10000 + text.charCodeAt(i);
      let child = this.children.get(key);
      if (child === undefined) {
        child = this.values.push(-1) - 1;
        this.children.set(key, child);
      }
      node = child;
    }
    this.values[node] = value;
  }

  /** Calls back for every text that starts here, the shortest first. */
  visit(text: string, start: number, found: (end: number, value: number) => void): void {
    let node = 0;
    for (let i = start; i < text.length; i++) {
      const child = this.children.get(node * 0x10000 + text.charCodeAt(i));
      if (child === undefined) return;
      node = child;
      const value = this.values[node]!;
      if (value >= 0) found(i + 1, value);
    }
  }
}
