import * as vscode from 'vscode';

const NOT_HERE = '{**/node_modules/**,**/.git/**}';

interface Search {
  /** A glob; packages and what Git keeps unless said. */
  readonly exclude?: string;
  /** Files at most, in each folder. */
  readonly most?: number;
}

/**
 * Files in the workspace's folders that are on a disk. Others are not asked: where no extension can search a virtual
 * folder, VS Code waits for one that can, for ever.
 */
export async function findDiskFiles(
  glob: string,
  { exclude = NOT_HERE, most }: Search = {},
): Promise<vscode.Uri[]> {
  const folders = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file');
  const search = (folder: vscode.WorkspaceFolder) =>
    vscode.workspace.findFiles(new vscode.RelativePattern(folder, glob), exclude, most);
  return (await Promise.all(folders.map(search))).flat();
}
