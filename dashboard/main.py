"""The script that `panel serve dashboard` runs for each visitor.

It stays this thin because Panel runs it outside its package: everything else is imported
by its absolute name, once a process.
"""

import logging
import sys

import panel as pn

from dashboard.faults import reported
from dashboard.page import failure_page, page_for, visitor_query
from dashboard.tuning import spare_modules, tune

spare_modules()
tune()
pn.extension(notifications=True, reconnect=True)
try:
    page = page_for(sys.argv[1:], visitor_query())
except Exception as error:  # noqa: BLE001 - logged and shown
    # Panel would show a blank page with status 200.
    page = failure_page(reported(logging.getLogger("dashboard"), "the page could not start", error))
page.servable()
