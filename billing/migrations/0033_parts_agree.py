"""What the database holds of invoices, with the parts of consolidated ones."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION billing_invoice_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
    SELECT invoice.number INTO wrong
    FROM changed invoice
    JOIN before ON before.id = invoice.id AND before.status = 'draft' AND invoice.status <> 'draft'
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount FROM billing_invoiceline WHERE invoice_id = invoice.id
    ) line ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(subtotal), 0) AS subtotal, coalesce(sum(discount), 0) AS discount FROM billing_invoice
        WHERE part_of_id = invoice.id AND invoice.kind = 'consolidated'
    ) part ON true
    WHERE line.amount + part.subtotal <> invoice.subtotal LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'The lines of invoice % do not add up to its subtotal.', wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION billing_invoice_parts_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
    SELECT invoice.number, CASE
        WHEN invoice.discount <> line.discount + part.discount THEN 'discounts of its lines'
        WHEN invoice.discount <> coupon.discount + part.discount THEN 'amounts of its coupons'
        WHEN invoice.tax <> tax.added OR invoice.tax_included <> tax.included THEN 'amounts of its taxes'
        ELSE 'credits in the ledger' END AS part
    INTO wrong
    FROM changed invoice
    JOIN before ON before.id = invoice.id AND before.status = 'draft' AND invoice.status <> 'draft'
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(subtotal), 0) AS subtotal, coalesce(sum(discount), 0) AS discount FROM billing_invoice
        WHERE part_of_id = invoice.id AND invoice.kind = 'consolidated'
    ) part
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(discount), 0) AS discount FROM billing_invoiceline WHERE invoice_id = invoice.id
    ) line
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS discount FROM billing_invoicediscount WHERE invoice_id = invoice.id
    ) coupon
    CROSS JOIN LATERAL (
        SELECT coalesce(sum((each ->> 'amount')::numeric) FILTER (WHERE NOT (each ->> 'inclusive')::boolean), 0) AS added,
               coalesce(sum((each ->> 'amount')::numeric) FILTER (WHERE (each ->> 'inclusive')::boolean), 0) AS included
        FROM jsonb_array_elements(invoice.taxes) AS each
    ) tax
    CROSS JOIN LATERAL (
        SELECT coalesce(-sum(amount), 0) AS applied FROM billing_creditentry
        WHERE invoice_id = invoice.id AND kind IN ('applied', 'granted')
    ) credit
    WHERE invoice.discount <> line.discount + part.discount OR invoice.discount <> coupon.discount + part.discount
       OR invoice.tax <> tax.added OR invoice.tax_included <> tax.included
       OR invoice.credits_applied <> credit.applied
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'The % of invoice % do not add up to what it says.', wrong.part, wrong.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION billing_creditnote_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
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

-- Looked at once all of a transaction is written: a consolidated invoice and its parts are issued and void together.
CREATE FUNCTION billing_invoice_parts_agree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
    parts bigint[];
BEGIN
    parts := CASE WHEN NEW.part_of_id IS NULL
        THEN ARRAY(SELECT id FROM billing_invoice WHERE part_of_id = NEW.id) ELSE ARRAY[NEW.id] END;
    SELECT coalesce(part.number, 'a draft of ' || part.plan_name) INTO wrong
    FROM billing_invoice part JOIN billing_invoice whole ON whole.id = part.part_of_id
    WHERE part.id = ANY(parts) AND (
        whole.kind <> 'consolidated' OR whole.currency <> part.currency
        OR (whole.status = 'draft') <> (part.status = 'draft') OR (whole.status = 'void') <> (part.status = 'void'));
    IF FOUND THEN
        RAISE EXCEPTION 'invoice_parts_agree: % and the invoice it is part of are not issued together.', wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_parts_agree';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER invoice_part_agrees AFTER INSERT OR UPDATE ON billing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.part_of_id IS NOT NULL OR NEW.kind = 'consolidated')
    EXECUTE FUNCTION billing_invoice_parts_agree();
"""
BACKWARD = """
DROP TRIGGER invoice_part_agrees ON billing_invoice;
DROP FUNCTION billing_invoice_parts_agree;
CREATE OR REPLACE FUNCTION billing_invoice_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
    SELECT invoice.number INTO wrong
    FROM changed invoice
    JOIN before ON before.id = invoice.id AND before.status = 'draft' AND invoice.status <> 'draft'
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount FROM billing_invoiceline WHERE invoice_id = invoice.id
    ) line ON true
    WHERE line.amount <> invoice.subtotal LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'The lines of invoice % do not add up to its subtotal.', wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION billing_invoice_parts_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
    SELECT invoice.number, CASE
        WHEN invoice.discount <> line.discount THEN 'discounts of its lines'
        WHEN invoice.discount <> coupon.discount THEN 'amounts of its coupons'
        WHEN invoice.tax <> tax.added OR invoice.tax_included <> tax.included THEN 'amounts of its taxes'
        ELSE 'credits in the ledger' END AS part
    INTO wrong
    FROM changed invoice
    JOIN before ON before.id = invoice.id AND before.status = 'draft' AND invoice.status <> 'draft'
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(discount), 0) AS discount FROM billing_invoiceline WHERE invoice_id = invoice.id
    ) line
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS discount FROM billing_invoicediscount WHERE invoice_id = invoice.id
    ) coupon
    CROSS JOIN LATERAL (
        SELECT coalesce(sum((each ->> 'amount')::numeric) FILTER (WHERE NOT (each ->> 'inclusive')::boolean), 0) AS added,
               coalesce(sum((each ->> 'amount')::numeric) FILTER (WHERE (each ->> 'inclusive')::boolean), 0) AS included
        FROM jsonb_array_elements(invoice.taxes) AS each
    ) tax
    CROSS JOIN LATERAL (
        SELECT coalesce(-sum(amount), 0) AS applied FROM billing_creditentry
        WHERE invoice_id = invoice.id AND kind IN ('applied', 'granted')
    ) credit
    WHERE invoice.discount <> line.discount OR invoice.discount <> coupon.discount
       OR invoice.tax <> tax.added OR invoice.tax_included <> tax.included
       OR invoice.credits_applied <> credit.applied
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'The % of invoice % do not add up to what it says.', wrong.part, wrong.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION billing_creditnote_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
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
    JOIN LATERAL (SELECT sum(amount) AS amount FROM billing_creditnoteline WHERE invoice_line_id = line.id) taken ON true
    WHERE note.id = target
      AND (line.invoice_id <> note.invoice_id OR taken.amount * sign(line.amount) < 0
           OR abs(taken.amount) > abs(line.amount));
    IF FOUND THEN
        RAISE EXCEPTION 'Credit note % takes back more of a line than was invoiced.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0032_consolidated_invoices")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
