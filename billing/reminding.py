"""Telling a customer how much of a limit is used: by mail, webhook and in the portal, each part once per period."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from billing.errors import RatingFailed
from billing.formatting import amount_text, minute
from billing.limiting import Standing, look_at
from billing.models import LimitKind, UsageLimit
from billing.notifying import Announcement, announce_all, queue_mails
from billing.parties import issuer_now
from billing.webhook_types import WebhookType

CHUNK = 1_000
log = logging.getLogger(__name__)

_RECORD = """
    INSERT INTO billing_limitreminder (limit_id, period_start, percent, used, reached_at)
    SELECT reached.limit_id, reached.period_start, reached.percent, reached.used, %(now)s
    FROM unnest(%(limits)s::bigint[], %(starts)s::timestamptz[], %(percents)s::int[], %(used)s::numeric[])
        AS reached (limit_id, period_start, percent, used)
    JOIN billing_usagelimit ON billing_usagelimit.id = reached.limit_id
    ORDER BY 1, 2, 3
    ON CONFLICT (limit_id, period_start, percent) DO NOTHING
    RETURNING limit_id, percent
"""


def remind(*, now: datetime) -> int:
    """Look at every limit and tell what was reached since; give how many parts. Rerunning tells nothing again."""
    told = 0
    last = 0
    while chunk := list(
        UsageLimit.objects.filter(pk__gt=last)
        .exclude(remind_at=[])
        .select_related("customer", "meter")
        .order_by("pk")[:CHUNK]
    ):
        last = chunk[-1].pk
        looked_at = look_at(chunk, now=now)
        found = []
        for limit in chunk:
            try:
                found.append(looked_at.standing(limit))
            except RatingFailed as unpriced:
                log.warning("The limit of %s cannot be looked at: %s", limit, unpriced.message)
        told += tell_reached(found, now=now)
    return told


def tell_reached(found: Sequence[Standing], *, now: datetime) -> int:
    """Record what these have reached and tell what nobody was told yet; give how many parts. Costs nothing below."""
    reached = [(each, percent) for each in found for percent in each.reached]
    if not reached:
        return 0
    by_limit = {each.limit.pk: each for each in found}
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                _RECORD,
                {
                    "limits": [each.limit.pk for each, _ in reached],
                    "starts": [each.period.start for each, _ in reached],
                    "percents": [percent for _, percent in reached],
                    "used": [each.used for each, _ in reached],
                    "now": now,
                },
            )
            new: list[tuple[int, int]] = cursor.fetchall()
        if new:
            announce_all(
                [WebhookType.USAGE_LIMIT_REACHED],
                lambda: _announcements([(by_limit[limit], percent) for limit, percent in new]),
                now=now,
            )
            for limit_id in sorted({limit for limit, _ in new}):
                _mail(
                    by_limit[limit_id], max(percent for limit, percent in new if limit == limit_id), now=now
                )
    return len(new)


def sentence(standing: Standing) -> str:
    """Say how much of a limit is used, and what that means, to the customer."""
    limit = standing.limit
    used, most = standing.words(standing.used), standing.words(limit.most)
    what = f"{limit.meter.label}: {used} of {most} used ({standing.percent} %)"
    if standing.used < limit.most:
        return f"{what}."
    if limit.kind == LimitKind.HARD:
        return f"{what}. No more is allowed in this period."
    return f"{what}. More is still allowed."


def _announcements(reached: Iterable[tuple[Standing, int]]) -> Iterable[Announcement]:
    for standing, percent in reached:
        limit = standing.limit

        def text(value: object, standing: Standing = standing) -> str:
            return amount_text(value, standing.currency) if standing.limit.is_money else f"{value:f}"  # type: ignore[arg-type]

        yield Announcement(
            WebhookType.USAGE_LIMIT_REACHED,
            f"{limit.customer.code} {limit.meter.code}",
            {
                "customer": limit.customer.code,
                "meter": limit.meter.code,
                "percent": percent,
                "in": "money" if limit.is_money else "units",
                "currency": standing.currency or None,
                "limit": text(limit.most),
                "used": text(standing.used),
                "kind": limit.kind,
                "set_by": limit.set_by,
                "period_start": standing.period.start_on,
                "resets_at": standing.period.end,
            },
            key=f"{limit.pk}/{standing.period.start.isoformat()}/{percent}",
        )


def _mail(standing: Standing, percent: int, *, now: datetime) -> None:
    customer = standing.limit.customer
    if not customer.email:
        return
    name = issuer_now()["name"]
    queue_mails(
        [customer.email],
        subject=f"{percent} % of your limit on {standing.limit.meter.label} is used"[:200],
        body=f"{sentence(standing)}\n\n"
        f"It starts again on {minute(standing.period.end, customer.timezone)}, {customer.timezone} time. "
        f"Your limits are in your portal: {settings.PUBLIC_URL}/portal/limits/\n\n{name}\n",
        now=now,
    )
