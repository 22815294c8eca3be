/** The editor as a panel sees it: its theme, its API, and an ear for breaches of the page's policy. */
(() => {
  const { kept, theme } = globalThis.stubOptions;
  const editor = { intents: [], kept, violations: [], readyAt: null };
  globalThis.editor = editor;
  globalThis.acquireVsCodeApi = () => ({
    postMessage: (intent) => {
      if (intent.type === 'ready') editor.readyAt = performance.now();
      editor.intents.push(structuredClone(intent));
    },
    getState: () => editor.kept,
    setState: (state) => {
      editor.kept = structuredClone(state);
    },
  });
  document.addEventListener('securitypolicyviolation', (event) => {
    const { violatedDirective, blockedURI, sourceFile, lineNumber, columnNumber } = event;
    editor.violations.push(`${violatedDirective} ${blockedURI} ${sourceFile}:${lineNumber}:${columnNumber}`);
  });
  const observer = new MutationObserver(() => {
    if (!document.body) return;
    observer.disconnect();
    for (const [name, value] of Object.entries(theme.tokens))
      document.documentElement.style.setProperty(name, value);
    document.body.className = theme.bodyClass;
  });
  observer.observe(document, { childList: true, subtree: true });
})();
