"""The admin's side menu, in the order in which billing staff set things up."""

from __future__ import annotations

from typing import Any

NAVIGATION: list[dict[str, Any]] = []

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Reckoner",
    "SITE_HEADER": "Reckoner",
    "SITE_SUBHEADER": "Billing for results",
    "SITE_SYMBOL": "receipt_long",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": NAVIGATION,
    },
}
