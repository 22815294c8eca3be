/** What the workbench needs cannot be had on this machine; the message says why in one line. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}
