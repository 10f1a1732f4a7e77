"""How fast work goes, and how long the rest of it takes at that pace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """`done` of `total` after some seconds."""

    done: int
    total: int
    seconds: float

    @property
    def percent(self) -> int:
        return 100 if self.done >= self.total else self.done * 100 // self.total

    @property
    def rate(self) -> float | None:
        """Give how many a second; None before the first is done."""
        return self.done / self.seconds if self.done and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        return None if self.rate is None else max(self.total - self.done, 0) / self.rate

    def __str__(self) -> str:
        counted = f"{self.done:,} of {self.total:,}"
        if self.rate is None or self.seconds_left is None:
            return counted
        return f"{counted}, {self.rate:,.0f} a second, {duration_words(self.seconds_left)} left"


def duration_words(seconds: float) -> str:
    """Write a duration as people say it: 40 s, 3 min, 1 h 20 min."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
