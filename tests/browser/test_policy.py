"""The content security policy in a real browser: what is not the page's own does not run."""

from __future__ import annotations

import pytest

from .driver import Driver

_INJECTED = """
async (html) => {
  window.ran = [];
  document.body.insertAdjacentHTML("beforeend", html);
  const script = document.createElement("script");
  script.textContent = "window.ran.push('script')";
  document.body.append(script);
  await new Promise((done) => setTimeout(done, 500));
  return window.ran;
}
"""


@pytest.mark.parametrize(
    "html",
    [
        "<img src=x onerror=\"window.ran.push('handler')\">",
        "<svg onload=\"window.ran.push('handler')\"></svg>",
        "<iframe srcdoc=\"<script>parent.ran.push('frame')</script>\"></iframe>",
        "<object data=\"data:text/html,<script>parent.ran.push('object')</script>\"></object>",
    ],
)
def test_what_is_put_into_the_page_does_not_run(page: Driver, html: str) -> None:
    """Should a text of a file ever become HTML, it is no program."""
    assert page.page.evaluate(_INJECTED, html) == []
    assert any("Content Security Policy" in told for told in page.complaints)
    page.complaints.clear()


def test_the_page_asks_nobody_else(page: Driver) -> None:
    """Nor could a program in it tell anybody what it sees."""
    asked = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert page.page.evaluate(asked) == "refused"
    assert any("connect-src" in told for told in page.complaints)
    page.complaints.clear()
    page.strangers.clear()


def test_no_other_page_shows_it_in_a_frame(page: Driver) -> None:
    """A page around it could lead a click to another place."""
    frame = "(url) => { document.body.innerHTML = `<iframe src='${url}'></iframe>`; }"
    page.page.evaluate(frame, page.page.url)
    page.page.wait_for_timeout(1000)
    (inner,) = page.page.frames[1:]
    assert "maxrf" not in inner.content().lower()
    page.complaints.clear()
