"""Equations of the audit about invoices: amounts, sums, periods, numbers. Each is one SQL statement."""

from __future__ import annotations

from billing.models import Invoice
from billing.rating.money import currency_digits
from metering.auditing import Question


def amount_is_rating() -> Question:
    """Ask for lines whose amount is not the sum of their working, rounded once to the currency's minor unit."""
    currencies = list(Invoice.objects.order_by().values_list("currency", flat=True).distinct())
    return Question(
        """
        SELECT format('%%s, line %%s: the amount is %%s, its working comes to %%s', name, n, trim_scale(amount),
                      trim_scale(worked))
        FROM (
            SELECT coalesce(invoice.number, 'draft ' || invoice.id) AS name, line.n, line.amount,
                   round(sum((step ->> 'amount')::numeric), money.digits) AS worked
            FROM billing_invoiceline line
            JOIN billing_invoice invoice ON invoice.id = line.invoice_id
            JOIN unnest(%(currencies)s::text[], %(digits)s::int[]) AS money (currency, digits)
                ON money.currency = invoice.currency
            CROSS JOIN LATERAL jsonb_array_elements(line.working) AS step
            GROUP BY invoice.number, invoice.id, line.id, line.n, line.amount, money.digits
        ) lines WHERE amount <> worked
        """,
        {"currencies": currencies, "digits": [currency_digits(each) for each in currencies]},
    )


def total_is_sum() -> Question:
    """Ask for invoices whose subtotal is not the sum of the lines, or whose total is not subtotal - discount + tax."""
    return Question(
        """
        SELECT format('%%s: lines %%s, subtotal %%s, discount %%s, tax %%s, total %%s', name, lines, subtotal, discount,
                      tax, total)
        FROM (
            SELECT coalesce(invoice.number, 'draft ' || invoice.id) AS name, invoice.subtotal, invoice.discount,
                   invoice.tax, invoice.total, coalesce(sum(line.amount), 0) AS lines
            FROM billing_invoice invoice
            LEFT JOIN billing_invoice part ON part.part_of_id = invoice.id
            LEFT JOIN billing_invoiceline line ON line.invoice_id = coalesce(part.id, invoice.id)
            GROUP BY invoice.id
        ) sums WHERE subtotal <> lines OR total <> subtotal - discount + tax
        """
    )


def periods_tile() -> Question:
    """Ask for periodic invoices of a subscription that overlap, or leave out time that no void invoice explains."""
    return Question(
        """
        SELECT format('%%s: begins %%s, the period before ends %%s', coalesce(number, 'draft ' || id), starts_at,
                      before)
        FROM (
            SELECT id, number, subscription_id, starts_at,
                   max(ends_at) OVER (PARTITION BY subscription_id ORDER BY starts_at, id
                                      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM billing_invoice WHERE kind = 'periodic' AND status <> 'void'
        ) period
        WHERE starts_at < before OR (starts_at > before AND NOT EXISTS (
            SELECT FROM billing_invoice void
            WHERE void.subscription_id = period.subscription_id AND void.status = 'void'
              AND void.starts_at < period.starts_at AND void.ends_at > period.before
        ))
        """
    )


def one_live_invoice() -> Question:
    """Ask for subscriptions that have two invoices of one kind for one period."""
    return Question(
        """
        SELECT format('%%s are all for subscription %%s, %%s, from %%s',
                      string_agg(coalesce(number, 'draft ' || id), ', ' ORDER BY id), subscription_id, kind,
                      period_start)
        FROM billing_invoice WHERE status <> 'void' AND subscription_id IS NOT NULL
        GROUP BY subscription_id, kind, period_start HAVING count(*) > 1
        """
    )


def numbers_gapless() -> Question:
    """Ask for numbers of a series that no invoice or credit note has, or that lie beyond the last one given out."""
    return Question(
        """
        WITH numbered AS (
            SELECT series_id, sequence, number FROM billing_invoice WHERE series_id IS NOT NULL
            UNION ALL
            SELECT series_id, sequence, number FROM billing_creditnote
        )
        SELECT format('%%s: number %%s is missing', prefix, expected)
        FROM billing_invoiceseries series
        CROSS JOIN LATERAL generate_series(1, series.last_number) AS expected
        LEFT JOIN numbered ON numbered.series_id = series.prefix AND numbered.sequence = expected
        WHERE numbered.sequence IS NULL
        UNION ALL
        SELECT format('%%s is beyond the last number of its series, %%s', number, last_number)
        FROM numbered JOIN billing_invoiceseries series ON series.prefix = numbered.series_id
        WHERE numbered.sequence > series.last_number
        """
    )
