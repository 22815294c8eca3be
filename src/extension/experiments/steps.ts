import * as vscode from 'vscode';

export const BACK = Symbol('back');

export interface Step<T extends vscode.QuickPickItem> {
  readonly title: string;
  readonly placeholder: string;
  readonly items: readonly T[];
  readonly step: number;
  readonly of: number;
}

/** One page of a wizard of quick picks. @returns undefined when the person left it. */
export function askStep<T extends vscode.QuickPickItem>(page: Step<T>): Promise<T | typeof BACK | undefined> {
  const picker = vscode.window.createQuickPick<T>();
  picker.title = page.title;
  picker.placeholder = page.placeholder;
  picker.items = page.items;
  picker.step = page.step;
  picker.totalSteps = page.of;
  picker.ignoreFocusOut = true;
  picker.matchOnDescription = true;
  if (page.step > 1) picker.buttons = [vscode.QuickInputButtons.Back];
  return new Promise((resolve) => {
    picker.onDidTriggerButton(() => resolve(BACK));
    picker.onDidAccept(() => resolve(picker.selectedItems[0]));
    picker.onDidHide(() => resolve(undefined));
    picker.show();
  }).finally(() => picker.dispose()) as Promise<T | typeof BACK | undefined>;
}
