"""Calendar months, as they are closed and named."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date

from metering.periods import month_period


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month. `parse` reads "2026-10" and raises ValueError for anything else."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        first = date.fromisoformat(f"{text}-01")
        if text != f"{first.year:04d}-{first.month:02d}":
            raise ValueError(f"“{text}” is not a month; write it as 2026-10.")
        return cls(first.year, first.month)

    @classmethod
    def of(cls, day: date) -> Month:
        return cls(day.year, day.month)

    @property
    def first(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def following(self) -> date:
        return month_period(self.year, self.month, "UTC").end_on

    @property
    def previous(self) -> Month:
        return Month(self.year, self.month - 1) if self.month > 1 else Month(self.year - 1, 12)

    def bills_start(self, day: date) -> bool:
        """Tell whether a close of this month draws up an invoice at the start for a plan that begins on a day.

        It does so until the next month is over, so that the close that runs every day finds plans that just began.
        """
        return self.first <= day < Month.of(self.following).following

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def name(self) -> str:
        return f"{calendar.month_name[self.month]} {self.year}"
