"""Names for screen readers where panel-material-ui gives none (0.16)."""

from __future__ import annotations

__all__ = ["NAME_THE_NAMELESS"]

NAME_THE_NAMELESS = """
if (!window.maxrf_names) {
  window.maxrf_names = true;
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
}
"""
"""Runs in the browser when it has the page: what comes later is named as well."""
