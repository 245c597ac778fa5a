"""The browser's address bar: history, links followed on the page, and whatever stands in it."""

from __future__ import annotations

from typing import Any

import panel as pn
from panel.io.location import Location
from panel.util import edit_readonly

__all__ = ["ON_READY", "address_bar"]

ON_READY = """
if (window.innerWidth < 700) {
  // On a phone the drawer would hide the page.
  for (const doc of Bokeh.documents) for (const root of doc.roots())
    if (root.data && 'sidebar_open' in root.data.attributes) root.data.sidebar_open = false;
}
if (!window.maxrf_history) {
  window.maxrf_history = true;
  // Panel pushes an entry for each change and does not listen to back and forward
  // (panel issue 7357). A gesture is one entry, and an entry restores its view.
  const push = window.history.pushState.bind(window.history);
  let last = 0;
  const scan_of = (url) => url.searchParams.get('scan');
  window.history.pushState = (data, title, url) => {
    const here = new URL(window.location.href), target = new URL(url, here);
    if (target.href === here.href) return;
    const stays = scan_of(target) === scan_of(here);
    if (stays && Date.now() - last < 800) window.history.replaceState(data, title, url);
    else push(data, title, url);
    last = Date.now();
  };
  const follow = () => {
    for (const doc of Bokeh.documents) for (const root of doc.roots())
      if (root.type.endsWith('Location')) root.search = window.location.search;
  };
  window.addEventListener('popstate', follow);
  // A link to a scan or to all of them is followed on this page, unless it is to open elsewhere.
  document.addEventListener('click', (event) => {
    const {button, ctrlKey, metaKey, shiftKey, altKey} = event;
    if (event.defaultPrevented || button || ctrlKey || metaKey || shiftKey || altKey) return;
    const link = event.composedPath().find((node) => node.dataset?.maxrfGo !== undefined);
    if (!link) return;
    event.preventDefault();
    window.history.pushState(null, '', link.href);
    follow();
  });
}
"""
"""Runs in the browser when it has the page."""


class _AnyLocation(Location):
    """An address that is read by this program alone, key by key.

    Panel itself reads each into numbers and lists for parameters bound to keys, of which there
    are none, and fails on some: on one of 5,000 digits, say.
    """

    def _update_synced(self, event: Any = None) -> None:
        """Do nothing: no parameters are bound to keys."""


def address_bar() -> Location | None:
    """Return the address bar of the current visitor, if they have one.

    Call it before anything else asks for `panel.state.location`: made by Panel, it would fail
    on an address with two question marks (panel 1.9.4, `_get_location_params`), and the page
    with it.
    """
    document = pn.state.curdoc
    if document is None or document.session_context is None:
        return pn.state.location
    locations = pn.state._locations  # noqa: SLF001 - no public name; panel 1.9
    if document not in locations:
        locations[document] = _location_of(document.session_context.request)
    return locations[document]


def _location_of(request: Any) -> Location:
    """Return what a request asks for; of an odd one the browser tells all but the query."""
    try:
        return _AnyLocation.from_request(request)
    except ValueError:
        location = _AnyLocation()
        with edit_readonly(location):
            location.search = "?" + request.uri.partition("?")[2]
        return location
