"""How well outcomes hold: attempted, settled, reversed, and the time to settle, by month and group, in one statement.

An outcome belongs to the month in which it happened, in its customer's time zone, as on invoices. The rules are those
of metering.outcome_statements, read at one moment; only that a subject counts once is looked at over the calendar
months asked for, because billing periods differ.
"""

# ruff: noqa: S608  the text of a statement stands in this module; whatever comes from outside is a parameter

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from django.db import connection

from metering.fragments import Sql, counted_events, group_expression
from metering.meter_types import OncePerSubject
from metering.models import Meter
from metering.outcome_statements import FIRST_SINCE, SIGNALS


@dataclass(slots=True)
class Quality:
    """Outcomes of a month or group. `attempted` are all of them, or the attempts of another meter.

    `median` and `most` are the time from an outcome until it settled, of settled ones: half and nine tenths took no
    longer. None where nothing settled.
    """

    outcomes: int = 0
    settled: int = 0
    reversed: int = 0
    pending: int = 0
    repeated: int = 0
    unproven: int = 0
    attempted: int = 0
    median: timedelta | None = None
    most: timedelta | None = None

    @property
    def resolution_rate(self) -> Fraction | None:
        """Settled over what was attempted and is decided; None before anything is."""
        decided = self.attempted - self.pending
        return Fraction(self.settled, decided) if decided > 0 else None

    @property
    def reversal_rate(self) -> Fraction | None:
        """Reversed over what settled or was reversed; None before anything was."""
        decided = self.settled + self.reversed
        return Fraction(self.reversed, decided) if decided else None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Qualities by month (its first day, oldest first), by group (largest first) and of everything."""

    months: dict[date, Quality]
    groups: dict[str, Quality]
    whole: Quality


# Grouping sets: the month, the group, everything. The bits of GROUPING say which a row is of.
_BY_MONTH, _BY_GROUP, _WHOLE = 1, 2, 3


def outcome_quality(
    meter: Meter,
    *,
    since: date,
    end: datetime,
    now: datetime,
    group_by: str = "workload",
    customer_id: int | None = None,
    attempts: Meter | None = None,
) -> QualityReport:
    """Give the quality of an outcome meter since the begin of a day until `end`, as known at `now`. One query, two
    with `attempts`. Days and months are those of each customer's time zone.

    `group_by` is `customer`, `workload`, `source` or `dimension:NAME`. `attempts` names a meter each of whose events is
    an attempt; without it every outcome is one.
    """
    report = QualityReport({}, {}, Quality())
    with connection.cursor() as cursor:
        statement = _statement(
            meter, since=since, end=end, now=now, group_by=group_by, customer_id=customer_id
        )
        cursor.execute(statement.text, statement.parameters)
        for kind, month, group, *figures in cursor.fetchall():
            outcomes, settled, gone, pending, repeated, unproven, median, most = figures
            quality = Quality(outcomes, settled, gone, pending, repeated, unproven, outcomes, median, most)
            _put(report, kind, month, group, quality)
        if attempts is not None:
            for each in (*report.months.values(), *report.groups.values(), report.whole):
                each.attempted = 0
            statement = _attempts(attempts, since=since, end=end, group_by=group_by, customer_id=customer_id)
            cursor.execute(statement.text, statement.parameters)
            for kind, month, group, attempted in cursor.fetchall():
                _of(report, kind, month, group).attempted = attempted
    ordered = dict(sorted(report.groups.items(), key=lambda each: (-each[1].outcomes, each[0])))
    return QualityReport(dict(sorted(report.months.items())), ordered, report.whole)


def _put(
    report: QualityReport, kind: int, month: datetime | None, group: str | None, quality: Quality
) -> None:
    target = _of(report, kind, month, group)
    for name in Quality.__slots__:
        setattr(target, name, getattr(quality, name))


def _of(report: QualityReport, kind: int, month: datetime | None, group: str | None) -> Quality:
    if kind == _BY_MONTH:
        assert month is not None  # a row of this grouping set has a month
        return report.months.setdefault(month.date(), Quality())
    if kind == _BY_GROUP:
        return report.groups.setdefault(group or "", Quality())
    return report.whole


_SETS = " GROUP BY GROUPING SETS ((month), (grouped), ())"
_JOINS = (
    " LEFT JOIN customers_customer c ON c.id = e.customer_id"
    " LEFT JOIN metering_workloadname w ON w.id = e.workload_id"
)


# Counted events have a customer.
_MONTH = "date_trunc('month', e.occurred_at AT TIME ZONE c.timezone)"
# No zone is further from UTC: the bound that an index can use.
_FURTHEST = timedelta(hours=24)


def _in_time(since: date, end: datetime) -> Sql:
    first = datetime(since.year, since.month, since.day)  # noqa: DTZ001 - a customer's clock, whatever its zone
    return Sql(
        "e.occurred_at >= %s AND e.occurred_at AT TIME ZONE c.timezone >= %s AND e.occurred_at < %s",
        [_earliest(since), first, end],
    )


def _earliest(since: date) -> datetime:
    return datetime(since.year, since.month, since.day, tzinfo=UTC) - _FURTHEST


def _statement(
    meter: Meter, *, since: date, end: datetime, now: datetime, group_by: str, customer_id: int | None
) -> Sql:
    window = timedelta(microseconds=int((meter.verification_hours or 0) * 3_600_000_000))
    related = _counted(customer_id)
    signals = (
        "SELECT e.customer_id, e.signal, e.target_id, e.subject, e.occurred_at FROM metering_event e WHERE "
        + Sql(
            "e.meter_id = %s AND e.signal IS NOT NULL AND e.occurred_at >= %s AND ",
            [meter.pk, _earliest(since)],
        )
        + related
    )
    outcomes = (
        "SELECT "
        + Sql(_MONTH)
        + " AS month, "
        + group_expression(group_by)
        + " AS grouped, c.timezone, e.customer_id, e.id, e.subject, e.occurred_at, least(e.occurred_at + "
        + Sql("%s", [window])
        + ", CASE WHEN own.confirmed_at IS NOT NULL THEN greatest(own.confirmed_at, e.occurred_at) END, "
        + FIRST_SINCE.format(times="every.confirmations")
        + ") AS settles_at, (own.reversed_at IS NOT NULL OR coalesce(every.reversed_at >= e.occurred_at, false))"
        + " AS is_reversed FROM metering_event e"
        + _JOINS
        + " LEFT JOIN own ON own.customer_id = e.customer_id AND own.target_id = e.id"
        + " LEFT JOIN every ON every.customer_id = e.customer_id AND every.subject = e.subject"
        + Sql(" WHERE e.meter_id = %s AND ", [meter.pk])
        + _in_time(since, end)
        + " AND e.signal IS NULL AND "
        + related
        + counted_events(meter)
    )
    once = OncePerSubject(meter.once_per_subject)
    within = (
        ", date_trunc('month', settles_at AT TIME ZONE timezone)" if once is OncePerSubject.PERIOD else ""
    )
    place = (
        "1"
        if once is OncePerSubject.NEVER
        else f"row_number() OVER (PARTITION BY customer_id, subject, is_reversed OR NOT is_proven{within}"
        " ORDER BY settles_at, occurred_at, id)"
    )
    return (
        "WITH RECURSIVE signal AS MATERIALIZED ("
        + signals
        + ")"
        + SIGNALS
        + ", outcome AS ("
        + outcomes
        + "), proven AS ("
        + _proven(meter, related)
        + f"), placed AS (SELECT *, {place} AS place FROM proven), told AS (SELECT *, CASE"
        + Sql(
            " WHEN is_reversed THEN 'reversed' WHEN settles_at > %s THEN 'pending' WHEN NOT is_proven THEN 'unproven'"
            " WHEN place > 1 THEN 'repeated' ELSE 'settled' END AS state FROM placed)",
            [now],
        )
        + " SELECT GROUPING(month, grouped), month, grouped, count(*),"
        + ", ".join(
            f" count(*) FILTER (WHERE state = '{state}')"
            for state in ("settled", "reversed", "pending", "repeated", "unproven")
        )
        + ", "
        + ", ".join(
            f"percentile_disc({part}) WITHIN GROUP (ORDER BY settles_at - occurred_at) FILTER (WHERE state = 'settled')"
            for part in ("0.5", "0.9")
        )
        + " FROM told"
        + _SETS
    )


def _proven(meter: Meter, related: Sql) -> Sql:
    if meter.evidence_meter_id is None:
        return Sql("SELECT *, true AS is_proven FROM outcome")
    return (
        "SELECT outcome.*, coalesce(worked_at <= settles_at, false) AS is_proven FROM outcome LEFT JOIN ("
        "SELECT e.customer_id AS worked_for, e.subject AS worked_on, min(e.occurred_at) AS worked_at"
        " FROM metering_event e WHERE "
        + Sql("e.meter_id = %s AND e.subject IS NOT NULL AND ", [meter.evidence_meter_id])
        + related
        + " GROUP BY 1, 2) evidence ON worked_for = customer_id AND worked_on = subject"
    )


def _attempts(meter: Meter, *, since: date, end: datetime, group_by: str, customer_id: int | None) -> Sql:
    return (
        Sql(f"SELECT GROUPING(month, grouped), month, grouped, count(*) FROM (SELECT {_MONTH} AS month, ")
        + group_expression(group_by)
        + " AS grouped FROM metering_event e"
        + _JOINS
        + Sql(" WHERE e.meter_id = %s AND ", [meter.pk])
        + _in_time(since, end)
        + " AND e.signal IS NULL AND "
        + _counted(customer_id)
        + counted_events(meter)
        + ") attempt"
        + _SETS
    )


def _counted(customer_id: int | None) -> Sql:
    counted = Sql("e.voided_batch_id IS NULL AND e.customer_id IS NOT NULL")
    return counted if customer_id is None else counted + Sql(" AND e.customer_id = %s", [customer_id])
