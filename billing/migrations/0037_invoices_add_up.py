"""An invoice adds up from the moment it is issued, also where it is written as issued at once.

What is looked at when invoices are issued is one statement that takes as long as there are invoices: the rows before and
after an update are joined by a hash. The planner expects few drafts among them and would compare each row with each other
one.
"""

from importlib import import_module

from django.db import migrations

FORWARD = """
-- What holds for invoices from the moment they are issued.
CREATE FUNCTION billing_issued_add_up(issued bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
    SELECT invoice.number, CASE
        WHEN invoice.subtotal <> line.amount + part.subtotal THEN ''
        WHEN invoice.discount <> line.discount + part.discount THEN 'discounts of its lines'
        WHEN invoice.discount <> coupon.discount + part.discount THEN 'amounts of its coupons'
        WHEN invoice.tax <> tax.added OR invoice.tax_included <> tax.included THEN 'amounts of its taxes'
        ELSE 'credits in the ledger' END AS part
    INTO wrong
    FROM billing_invoice invoice
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(discount), 0) AS discount
        FROM billing_invoiceline WHERE invoice_id = invoice.id
    ) line
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(subtotal), 0) AS subtotal, coalesce(sum(discount), 0) AS discount FROM billing_invoice
        WHERE part_of_id = invoice.id AND invoice.kind = 'consolidated'
    ) part
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
    WHERE invoice.id = ANY(issued) AND (
        invoice.subtotal <> line.amount + part.subtotal OR invoice.discount <> line.discount + part.discount
        OR invoice.discount <> coupon.discount + part.discount OR invoice.tax <> tax.added
        OR invoice.tax_included <> tax.included OR invoice.credits_applied <> credit.applied)
    LIMIT 1;
    IF FOUND AND wrong.part = '' THEN
        RAISE EXCEPTION 'The lines of invoice % do not add up to its subtotal.', wrong.number
            USING ERRCODE = 'check_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'The % of invoice % do not add up to what it says.', wrong.part, wrong.number
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO billing_adjustmentnumber (line_id, n)
    SELECT adjusts_id, adjustment_n FROM billing_invoiceline WHERE invoice_id = ANY(issued) AND kind = 'adjustment';
END $$;
CREATE OR REPLACE FUNCTION billing_invoice_adds_up() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE issued bigint[];
BEGIN
    issued := ARRAY(
        SELECT invoice.id FROM changed invoice JOIN before ON before.id = invoice.id
        WHERE before.status = 'draft' AND invoice.status <> 'draft'
    );
    IF issued <> '{}' THEN PERFORM billing_issued_add_up(issued); END IF;
    RETURN NULL;
END $$;
DROP TRIGGER invoice_parts_add_up ON billing_invoice;
DROP FUNCTION billing_invoice_parts_add_up;
DROP TRIGGER number_issued_adjustments ON billing_invoice;
DROP FUNCTION billing_number_issued_adjustments;
-- Nothing was paid, credited or applied to what is only now written.
CREATE FUNCTION billing_added_invoice_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE issued bigint[];
BEGIN
    IF EXISTS (
        SELECT FROM added WHERE status <> 'draft' AND (
            status NOT IN ('issued', 'paid') OR kind = 'consolidated'
            OR (credits_applied, amount_paid, amount_credited, amount_written_off) <> (0, 0, 0, 0))
    ) THEN
        RAISE EXCEPTION 'An invoice is drawn up as a draft first.' USING ERRCODE = 'check_violation';
    END IF;
    issued := ARRAY(SELECT id FROM added WHERE status <> 'draft');
    IF issued <> '{}' THEN PERFORM billing_issued_add_up(issued); END IF;
    RETURN NULL;
END $$;
DROP TRIGGER invoice_starts_as_draft ON billing_invoice;
DROP FUNCTION billing_invoice_starts_as_draft;
CREATE TRIGGER added_invoice_adds_up AFTER INSERT ON billing_invoice
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_added_invoice_adds_up();
"""
# What was before stands in the migration that wrote it.
WRITTEN = import_module("billing.migrations.0033_parts_agree").FORWARD
BEFORE = WRITTEN[: WRITTEN.index("CREATE OR REPLACE FUNCTION billing_creditnote_adds_up")]
BACKWARD = f"""
DROP TRIGGER added_invoice_adds_up ON billing_invoice;
DROP FUNCTION billing_added_invoice_adds_up;
CREATE FUNCTION billing_invoice_starts_as_draft() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added WHERE status <> 'draft') THEN
        RAISE EXCEPTION 'An invoice is drawn up as a draft first.' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoice_starts_as_draft AFTER INSERT ON billing_invoice
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_invoice_starts_as_draft();
{BEFORE}
CREATE TRIGGER invoice_parts_add_up AFTER UPDATE ON billing_invoice
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_invoice_parts_add_up();
CREATE FUNCTION billing_number_issued_adjustments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_adjustmentnumber (line_id, n)
    SELECT line.adjusts_id, line.adjustment_n
    FROM changed invoice
    JOIN before ON before.id = invoice.id AND before.status = 'draft' AND invoice.status <> 'draft'
    JOIN billing_invoiceline line ON line.invoice_id = invoice.id AND line.kind = 'adjustment';
    RETURN NULL;
END $$;
CREATE TRIGGER number_issued_adjustments AFTER UPDATE ON billing_invoice
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_number_issued_adjustments();
DROP FUNCTION billing_issued_add_up;
"""  # noqa: S608  the text is that of a migration


class Migration(migrations.Migration):
    dependencies = [("billing", "0036_lean_indexes")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
