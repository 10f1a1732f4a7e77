"""Fields of the admin's forms that Django's own would fail on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect


class SearchedSelect(AutocompleteSelect):
    """A list with a search in it, which shows a refused form again whatever was sent in place of a row's number."""

    def optgroups(self, name: str, value: Iterable[Any], attr: Any = None) -> Any:
        numbers = [
            each for each in value if str(each).isascii() and str(each).isdecimal() and len(str(each)) < 19
        ]
        return super().optgroups(name, numbers, attr)
