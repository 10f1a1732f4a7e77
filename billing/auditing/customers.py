"""The equation of the audit about customers: nothing of one customer points to something of another.

But the parts of a consolidated invoice, which are their customers' and say who paid for them when they were billed.
"""

from __future__ import annotations

from metering.auditing import Question


def rows_stay_with_their_customer() -> Question:
    """Ask for rows that belong to one customer and point to a row of another."""
    return Question(
        """
        SELECT format('%%s is of customer %%s, its subscription %%s of customer %%s',
                      coalesce(invoice.number, 'draft ' || invoice.id), invoice.customer_id, subscription.id,
                      subscription.customer_id)
        FROM billing_invoice invoice JOIN billing_subscription subscription ON subscription.id = invoice.subscription_id
        WHERE subscription.customer_id <> invoice.customer_id
        UNION ALL
        SELECT format('%%s, line %%s adjusts a line of %%s, another customer''s',
                      coalesce(invoice.number, 'draft ' || invoice.id), line.n, other.number)
        FROM billing_invoiceline line
        JOIN billing_invoice invoice ON invoice.id = line.invoice_id
        JOIN billing_invoiceline adjusted ON adjusted.id = line.adjusts_id
        JOIN billing_invoice other ON other.id = adjusted.invoice_id
        WHERE other.customer_id <> invoice.customer_id
        UNION ALL
        SELECT format('%%s settled line %%s of %%s, another customer''s',
                      coalesce(invoice.number, 'draft ' || invoice.id), line.n, other.number)
        FROM billing_linesettlement settlement
        JOIN billing_invoice invoice ON invoice.id = settlement.invoice_id
        JOIN billing_invoiceline line ON line.id = settlement.line_id
        JOIN billing_invoice other ON other.id = line.invoice_id
        WHERE other.customer_id <> invoice.customer_id
        UNION ALL
        SELECT format('%%s took from credit %%s, another customer''s', coalesce(invoice.number, 'draft ' || invoice.id),
                      credit.id)
        FROM billing_creditentry entry
        JOIN billing_creditgrant credit ON credit.id = entry.grant_id
        JOIN billing_invoice invoice ON invoice.id = entry.invoice_id
        WHERE credit.customer_id <> invoice.customer_id
        UNION ALL
        SELECT format('%%s takes back a line of %%s, another invoice', note.number, other.number)
        FROM billing_creditnoteline line
        JOIN billing_creditnote note ON note.id = line.credit_note_id
        JOIN billing_invoiceline taken ON taken.id = line.invoice_line_id
        JOIN billing_invoice other ON other.id = taken.invoice_id
        WHERE coalesce(other.part_of_id, other.id) <> note.invoice_id
        UNION ALL
        SELECT format('%%s is of customer %%s and part of %%s of customer %%s, who does not pay for it',
                      coalesce(part.number, 'draft ' || part.id), part.customer_id,
                      coalesce(whole.number, 'draft ' || whole.id), whole.customer_id)
        FROM billing_invoice part
        JOIN billing_invoice whole ON whole.id = part.part_of_id
        JOIN customers_customer payer ON payer.id = whole.customer_id
        WHERE part.currency <> whole.currency OR whole.kind <> 'consolidated'
            OR part.recipient ->> 'billed_to' IS DISTINCT FROM payer.code
        UNION ALL
        SELECT format('the meter coverage %%s is of customer %%s, its subscription of customer %%s', coverage.id,
                      coverage.customer_id, subscription.customer_id)
        FROM billing_metercoverage coverage
        JOIN billing_subscription subscription ON subscription.id = coverage.subscription_id
        WHERE subscription.customer_id <> coverage.customer_id
        UNION ALL
        SELECT format('the correction of event %%s is of customer %%s, the event of customer %%s', event.id,
                      correction.customer_id, event.customer_id)
        FROM metering_eventcorrection correction JOIN metering_event event ON event.id = correction.event_id
        WHERE correction.customer_id <> event.customer_id
        """
    )
