"""What differs between two versions of a plan, in plain words side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing.models import Plan, Rate, RateKind
from billing.summaries import rate_name, rate_sentence, term_sentences


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing two versions say, side by side in plain words; empty where a version does not have it."""

    name: str
    before: str
    after: str

    @property
    def change(self) -> str:
        if self.before == self.after:
            return "same"
        return "changed" if self.before and self.after else "added" if self.after else "removed"


def compare_versions(before: Plan, after: Plan) -> list[Difference]:
    """Put two versions side by side: what holds for the invoice, then the rates, those that are gone at the end.

    Rates belong together when kind, meter and name are the same, else in their order when kind and meter are.
    """
    old_terms, new_terms = term_sentences(before), term_sentences(after)
    found = [Difference("Name", before.name, after.name)]
    found += [
        Difference(name, old_terms.get(name, ""), new_terms.get(name, ""))
        for name in {**old_terms, **new_terms}
    ]
    left = list(before.rates.select_related("meter"))
    for rate in after.rates.select_related("meter"):
        pair = _counterpart(rate, left)
        if pair is not None:
            left.remove(pair)
        words = "" if pair is None else rate_sentence(pair, before)
        found.append(Difference(rate_name(rate), words, rate_sentence(rate, after)))
    return found + [Difference(rate_name(rate), rate_sentence(rate, before), "") for rate in left]


def _counterpart(rate: Rate, others: Sequence[Rate]) -> Rate | None:
    alike = [each for each in others if (each.kind, each.meter_id) == (rate.kind, rate.meter_id)]
    named = [each for each in alike if rate_name(each) == rate_name(rate)]
    if rate.kind == RateKind.USAGE:
        named = named or alike
    return named[0] if named else None
