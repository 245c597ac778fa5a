"""The script that `panel serve dashboard` runs for each visitor.

It stays this thin because Panel runs it outside its package: everything else is imported
by its absolute name, once a process.
"""

import logging
import sys

import panel as pn

from dashboard.page import failure_page, page_for, visitor_query
from dashboard.tuning import spare_modules, tune

spare_modules()
tune()
pn.extension(notifications=True, reconnect=True)
try:
    page = page_for(sys.argv[1:], visitor_query())
except Exception as error:
    # Panel would show a blank page with status 200.
    logging.getLogger("dashboard").exception("the page could not start")
    page = failure_page(
        f"Something unforeseen happened ({type(error).__name__}); the server's log has it."
    )
page.servable()
