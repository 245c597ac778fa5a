"""Linked, live views of a converted scan, for `panel serve` and for notebooks.

Nothing happens on import: `panel serve` runs this file a second time under another name.
"""

from dashboard.explorer import Explorer
from dashboard.notebook import extension
from dashboard.state import ViewState

__all__ = ["Explorer", "ViewState", "extension"]
