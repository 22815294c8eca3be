/** This machine lacks something that the workbench needs; the message gives the reason in one line. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}
