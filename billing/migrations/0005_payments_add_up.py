"""The equations of payments, credit notes and decisions about issued invoices.

An entry that moves a balance and the credit it became are one: the same customer, currency and amount, neither without
the other. Taking one back takes back the other, whole and unused.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION billing_record_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What is recorded about an issued invoice stays; record the opposite.'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER payment_stays BEFORE UPDATE OR DELETE ON billing_payment
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();
CREATE TRIGGER change_stays BEFORE UPDATE OR DELETE ON billing_invoicechange
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();
CREATE TRIGGER creditnote_stays BEFORE UPDATE OR DELETE ON billing_creditnote
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();
CREATE TRIGGER creditnoteline_stays BEFORE UPDATE OR DELETE ON billing_creditnoteline
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();

-- Looked at once all of a transaction is written: the sums on an invoice are those of its rows.
CREATE FUNCTION billing_invoice_is_settled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    target bigint := CASE WHEN TG_TABLE_NAME = 'billing_invoice' THEN (to_jsonb(NEW)->>'id')::bigint
                          ELSE (to_jsonb(NEW)->>'invoice_id')::bigint END;
    wrong text;
BEGIN
    SELECT coalesce(number, 'draft') INTO wrong FROM billing_invoice invoice
    WHERE id = target AND (
        amount_paid <> (SELECT coalesce(sum(amount), 0) FROM billing_payment WHERE invoice_id = target)
        OR amount_credited <> (SELECT coalesce(sum(total), 0) FROM billing_creditnote WHERE invoice_id = target)
        OR amount_written_off <> (SELECT coalesce(sum(amount), 0) FROM billing_invoicechange WHERE invoice_id = target)
        OR EXISTS (SELECT FROM billing_payment WHERE invoice_id = target AND currency <> invoice.currency)
        OR EXISTS (SELECT FROM billing_creditnote WHERE invoice_id = target AND currency <> invoice.currency));
    IF FOUND THEN
        RAISE EXCEPTION 'The sums of invoice % are not those of its payments, credit notes and write-offs.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER invoice_is_settled AFTER UPDATE ON billing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.amount_paid, OLD.amount_credited, OLD.amount_written_off)
          IS DISTINCT FROM (NEW.amount_paid, NEW.amount_credited, NEW.amount_written_off))
    EXECUTE FUNCTION billing_invoice_is_settled();
CREATE CONSTRAINT TRIGGER payment_is_summed AFTER INSERT ON billing_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_invoice_is_settled();
CREATE CONSTRAINT TRIGGER change_is_summed AFTER INSERT ON billing_invoicechange
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_invoice_is_settled();
CREATE CONSTRAINT TRIGGER creditnote_is_summed AFTER INSERT ON billing_creditnote
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_invoice_is_settled();

-- A reversal is the exact opposite of a payment or refund of the same invoice.
CREATE FUNCTION billing_reversal_is_opposite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_payment original WHERE original.id = NEW.reverses_id
                   AND original.kind <> 'reversal' AND original.invoice_id = NEW.invoice_id
                   AND original.amount = -NEW.amount)
    THEN
        RAISE EXCEPTION 'A reversal is the exact opposite of one payment of the same invoice.'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reversal_is_opposite BEFORE INSERT ON billing_payment
    FOR EACH ROW WHEN (NEW.kind = 'reversal') EXECUTE FUNCTION billing_reversal_is_opposite();

-- The lines of a credit note make its sums, and never take back more of a line than it says.
CREATE FUNCTION billing_creditnote_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    target bigint := CASE WHEN TG_TABLE_NAME = 'billing_creditnote' THEN (to_jsonb(NEW)->>'id')::bigint
                          ELSE (to_jsonb(NEW)->>'credit_note_id')::bigint END;
    wrong text;
BEGIN
    SELECT note.number INTO wrong FROM billing_creditnote note
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(discount), 0) AS discount,
               coalesce(sum(tax), 0) AS tax, coalesce(sum(tax_included), 0) AS tax_included
        FROM billing_creditnoteline WHERE credit_note_id = note.id
    ) line ON true
    WHERE note.id = target AND (note.subtotal, note.discount, note.tax, note.tax_included)
          IS DISTINCT FROM (line.amount, line.discount, line.tax, line.tax_included);
    IF FOUND THEN
        RAISE EXCEPTION 'The lines of credit note % do not add up to it.', wrong USING ERRCODE = 'check_violation';
    END IF;
    SELECT note.number INTO wrong
    FROM billing_creditnote note
    JOIN billing_creditnoteline mine ON mine.credit_note_id = note.id
    JOIN billing_invoiceline line ON line.id = mine.invoice_line_id
    JOIN billing_invoice billed ON billed.id = line.invoice_id
    JOIN LATERAL (SELECT sum(amount) AS amount FROM billing_creditnoteline WHERE invoice_line_id = line.id) taken ON true
    WHERE note.id = target
      AND (coalesce(billed.part_of_id, billed.id) <> note.invoice_id OR taken.amount * sign(line.amount) < 0
           OR abs(taken.amount) > abs(line.amount));
    IF FOUND THEN
        RAISE EXCEPTION 'Credit note % takes back more of a line than was invoiced.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER creditnote_adds_up AFTER INSERT ON billing_creditnote
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_creditnote_adds_up();
CREATE CONSTRAINT TRIGGER creditnoteline_adds_up AFTER INSERT ON billing_creditnoteline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_creditnote_adds_up();

CREATE FUNCTION billing_move_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved bigint := CASE WHEN TG_TABLE_NAME = 'billing_payment'
                         THEN coalesce((to_jsonb(NEW)->>'reverses_id')::bigint, (to_jsonb(NEW)->>'id')::bigint)
                         ELSE (to_jsonb(NEW)->>'source_payment_id')::bigint END;
    wrong text;
BEGIN
    SELECT invoice.number INTO wrong
    FROM billing_payment payment
    JOIN billing_invoice invoice ON invoice.id = payment.invoice_id
    LEFT JOIN billing_creditgrant credit ON credit.source_payment_id = payment.id
    LEFT JOIN billing_payment reversal ON reversal.reverses_id = payment.id
    WHERE payment.id = moved AND (payment.kind = 'moved' OR credit.id IS NOT NULL) AND (
        payment.kind <> 'moved'
        OR (credit.customer_id, credit.currency, credit.amount)
           IS DISTINCT FROM (invoice.customer_id, payment.currency, -payment.amount)
        OR (reversal.id IS NULL) <> (credit.voided_at IS NULL)
        OR reversal.id IS NOT NULL AND NOT EXISTS (
            SELECT FROM billing_creditentry entry
            WHERE entry.grant_id = credit.id AND entry.kind = 'voided' AND entry.amount = -credit.amount)
    );
    IF FOUND THEN
        RAISE EXCEPTION 'What was moved from invoice % and the credit it became are not the same.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payment_move_is_whole AFTER INSERT ON billing_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind IN ('moved', 'reversal'))
    EXECUTE FUNCTION billing_move_is_whole();
CREATE CONSTRAINT TRIGGER credit_move_is_whole AFTER INSERT ON billing_creditgrant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.source_payment_id IS NOT NULL)
    EXECUTE FUNCTION billing_move_is_whole();
CREATE CONSTRAINT TRIGGER void_move_is_whole AFTER UPDATE ON billing_creditgrant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.source_payment_id IS NOT NULL AND OLD.voided_at IS DISTINCT FROM NEW.voided_at)
    EXECUTE FUNCTION billing_move_is_whole();

-- What goes back or becomes a credit is the customer's: no more than the credit balance. Locks the invoice, so that the
-- second of two waits and looks at what the first left. The entry is written before the invoice's sums.
CREATE FUNCTION billing_within_credit_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE due numeric; name text;
BEGIN
    SELECT total - credits_applied - amount_paid - amount_credited - amount_written_off, number INTO due, name
    FROM billing_invoice WHERE id = NEW.invoice_id FOR UPDATE;
    IF due > NEW.amount THEN
        RAISE EXCEPTION 'More is paid back or moved to credits than the credit balance of invoice %.', name
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER within_credit_balance BEFORE INSERT ON billing_payment
    FOR EACH ROW WHEN (NEW.kind IN ('moved', 'refund')) EXECUTE FUNCTION billing_within_credit_balance();
"""
BACKWARD = """
DROP TRIGGER within_credit_balance ON billing_payment;
DROP FUNCTION billing_within_credit_balance;
DROP TRIGGER void_move_is_whole ON billing_creditgrant;
DROP TRIGGER credit_move_is_whole ON billing_creditgrant;
DROP TRIGGER payment_move_is_whole ON billing_payment;
DROP FUNCTION billing_move_is_whole;
DROP TRIGGER creditnoteline_adds_up ON billing_creditnoteline;
DROP TRIGGER creditnote_adds_up ON billing_creditnote;
DROP FUNCTION billing_creditnote_adds_up;
DROP TRIGGER reversal_is_opposite ON billing_payment;
DROP FUNCTION billing_reversal_is_opposite;
DROP TRIGGER creditnote_is_summed ON billing_creditnote;
DROP TRIGGER change_is_summed ON billing_invoicechange;
DROP TRIGGER payment_is_summed ON billing_payment;
DROP TRIGGER invoice_is_settled ON billing_invoice;
DROP FUNCTION billing_invoice_is_settled;
DROP TRIGGER creditnoteline_stays ON billing_creditnoteline;
DROP TRIGGER creditnote_stays ON billing_creditnote;
DROP TRIGGER change_stays ON billing_invoicechange;
DROP TRIGGER payment_stays ON billing_payment;
DROP FUNCTION billing_record_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_ledger_stays")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
