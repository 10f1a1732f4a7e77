"""Equations of the audit about what changes what is due: credits, payments, credit notes. Each is one SQL statement."""

from __future__ import annotations

from metering.auditing import Question


def ledger_balances() -> Question:
    """Ask for credit grants whose balance is not the sum of their ledger, and invoices that took another amount."""
    return Question(
        """
        SELECT format('credit %%s of customer %%s: the balance is %%s, its ledger comes to %%s', credit.id,
                      credit.customer_id, credit.balance, coalesce(moved.amount, 0))
        FROM billing_creditgrant credit
        LEFT JOIN (SELECT grant_id, sum(amount) AS amount FROM billing_creditentry GROUP BY grant_id) moved
            ON moved.grant_id = credit.id
        WHERE credit.balance <> coalesce(moved.amount, 0) OR credit.balance < 0 OR credit.balance > credit.amount
        UNION ALL
        SELECT format('%%s: credits applied are %%s, the ledger says %%s', invoice.number, invoice.credits_applied,
                      coalesce(taken.amount, 0) - coalesce(carried.amount, 0))
        FROM billing_invoice invoice
        LEFT JOIN (SELECT invoice_id, -sum(amount) AS amount FROM billing_creditentry WHERE kind = 'applied'
                   GROUP BY invoice_id) taken ON taken.invoice_id = invoice.id
        LEFT JOIN (SELECT source_invoice_id, sum(amount) AS amount FROM billing_creditgrant GROUP BY 1) carried
            ON carried.source_invoice_id = invoice.id
        WHERE invoice.status <> 'draft'
          AND invoice.credits_applied <> coalesce(taken.amount, 0) - coalesce(carried.amount, 0)
        """
    )


def amount_due_is_the_rest() -> Question:
    """Ask for invoices whose sums paid, credited or written off are not those of the rows behind them."""
    return Question(
        """
        SELECT format('%%s: paid %%s of %%s recorded, credited %%s of %%s, written off %%s of %%s', number, amount_paid,
                      paid, amount_credited, credited, amount_written_off, written_off)
        FROM (
            SELECT invoice.number, invoice.amount_paid, invoice.amount_credited, invoice.amount_written_off,
                   coalesce((SELECT sum(amount) FROM billing_payment WHERE invoice_id = invoice.id), 0) AS paid,
                   coalesce((SELECT sum(total) FROM billing_creditnote WHERE invoice_id = invoice.id), 0) AS credited,
                   coalesce((SELECT sum(amount) FROM billing_invoicechange WHERE invoice_id = invoice.id), 0)
                       AS written_off
            FROM billing_invoice invoice WHERE invoice.status <> 'draft'
        ) sums
        WHERE amount_paid <> paid OR amount_credited <> credited OR amount_written_off <> written_off
        """
    )
