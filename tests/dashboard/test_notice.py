"""The alert: it says what it was told last, once, and can be closed."""

from __future__ import annotations

import panel_material_ui as pmui

from dashboard.notice import Notice


def alerts(notice: Notice) -> list[pmui.Alert]:
    """Return what stands on the page."""
    return notice.__panel__().select(pmui.Alert)


def test_nothing_stands_there_until_something_is_said() -> None:
    """And nothing when it is taken back."""
    notice = Notice()
    assert alerts(notice) == []
    notice.text = "one"
    assert [alert.object for alert in alerts(notice)] == ["one"]
    notice.text = ""
    assert alerts(notice) == []


def test_each_sentence_is_a_component_of_its_own() -> None:
    """React keeps the older of two values that come quickly to one component."""
    notice = Notice("error")
    notice.text = "one"
    (first,) = alerts(notice)
    notice.text = "two"
    (second,) = alerts(notice)
    assert second is not first
    assert (first.object, second.object) == ("one", "two")
    assert second.severity == "error"
    notice.text = "two"
    assert alerts(notice) == [second]  # told again and again by a poll, it does not flicker


def test_only_who_may_close_it_has_a_cross() -> None:
    """Closed, it can say the same again."""
    closed: list[str] = []
    notice = Notice(on_closed=lambda: closed.append(notice.text))
    assert not alerts_of_plain()[0].closeable
    notice.text = "one"
    (alert,) = alerts(notice)
    assert alert.closeable
    alert.closed = True
    assert alerts(notice) == []
    assert closed == [""]
    notice.text = "one"
    assert [alert.object for alert in alerts(notice)] == ["one"]


def alerts_of_plain() -> list[pmui.Alert]:
    """Return the alert of a notice that nobody may close."""
    plain = Notice()
    plain.text = "one"
    return alerts(plain)
