"""Names for screen readers, and keys for lists, where panel-material-ui has none (0.16)."""

from __future__ import annotations

__all__ = ["ACCESSIBLE"]

ACCESSIBLE = """
if (!window.maxrf_accessible) {
  window.maxrf_accessible = true;
  const name = (root) => {
    for (const button of root.querySelectorAll('.MuiIconButton-root:not([aria-label])')) {
      const field = button.closest('.MuiFormControl-root');
      if (field?.querySelectorAll('.MuiInputAdornment-root').length !== 2) continue;
      const is_first = button.closest('.MuiInputAdornment-positionStart');
      const label = field.querySelector('label')?.textContent ?? '';
      button.setAttribute('aria-label', `${is_first ? 'Decrease' : 'Increase'} ${label}`);
    }
    for (const bar of root.querySelectorAll('[role=progressbar]:not([aria-label])'))
      bar.setAttribute('aria-label', 'Progress');
    for (const help of root.querySelectorAll('span[aria-label][sx]:not([role])'))
      help.setAttribute('role', 'img');
    for (const edge of root.querySelectorAll('[aria-label="Resize sidebar"]:not([role])'))
      edge.setAttribute('role', 'separator');
  };
  const waiting = new Set();
  const soon = (root) => {
    if (!waiting.size)
      setTimeout(() => { const roots = [...waiting]; waiting.clear(); roots.forEach(name); }, 200);
    waiting.add(root);
  };
  const observer = new MutationObserver((changes) => {
    for (const {target} of changes) soon(target.getRootNode());
  });
  const watch = (root) => {
    observer.observe(root, {childList: true, subtree: true});
    soon(root);
  };
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (options) {
    const root = attach.call(this, options);
    watch(root);
    return root;
  };
  const walk = (root) => {
    watch(root);
    for (const element of root.querySelectorAll('*'))
      if (element.shadowRoot) walk(element.shadowRoot);
  };
  walk(document);
  // Drop-down lists open on a click alone. Space does it when it is let go: its end would choose
  // from the list otherwise.
  const opening = {keydown: ['Enter', 'ArrowDown', 'ArrowUp'], keyup: [' ']};
  const open = (event) => {
    const list = event.composedPath()[0];
    if (!list.matches?.('.MuiSelect-select[role=combobox]')) return;
    if (list.ariaExpanded === 'true' || list.ariaDisabled === 'true') return;
    if (opening[event.type].includes(event.key)) list.click();
  };
  for (const kind of Object.keys(opening)) document.addEventListener(kind, open);
}
"""
"""Runs in the browser when it has the page: what comes later is served as well."""
