"""What is looked at when invoices are issued, in one statement that takes as long as there are invoices.

The rows before and after an update are joined by a hash. The planner expects few drafts among them and would compare
each row with each other one. What is per invoice is found by index.
"""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION billing_invoice_adds_up() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE wrong record;
BEGIN
    SELECT invoice.number, CASE
        WHEN invoice.subtotal <> line.amount + part.subtotal THEN ''
        WHEN invoice.discount <> line.discount + part.discount THEN 'discounts of its lines'
        WHEN invoice.discount <> coupon.discount + part.discount THEN 'amounts of its coupons'
        WHEN invoice.tax <> tax.added OR invoice.tax_included <> tax.included THEN 'amounts of its taxes'
        ELSE 'credits in the ledger' END AS part
    INTO wrong
    FROM changed invoice
    JOIN before ON before.id = invoice.id
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
    WHERE before.status = 'draft' AND invoice.status <> 'draft' AND (
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
    RETURN NULL;
END $$;
DROP TRIGGER invoice_parts_add_up ON billing_invoice;
DROP FUNCTION billing_invoice_parts_add_up;
CREATE OR REPLACE FUNCTION billing_number_issued_adjustments() RETURNS trigger LANGUAGE plpgsql
    SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO billing_adjustmentnumber (line_id, n)
    SELECT line.adjusts_id, line.adjustment_n
    FROM changed invoice
    JOIN before ON before.id = invoice.id
    CROSS JOIN LATERAL (
        SELECT adjusts_id, adjustment_n FROM billing_invoiceline
        WHERE invoice_id = invoice.id AND kind = 'adjustment' OFFSET 0
    ) line
    WHERE before.status = 'draft' AND invoice.status <> 'draft';
    RETURN NULL;
END $$;
"""
BACKWARD = """
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
CREATE TRIGGER invoice_parts_add_up AFTER UPDATE ON billing_invoice
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_invoice_parts_add_up();
CREATE OR REPLACE FUNCTION billing_number_issued_adjustments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_adjustmentnumber (line_id, n)
    SELECT line.adjusts_id, line.adjustment_n
    FROM changed invoice
    JOIN before ON before.id = invoice.id AND before.status = 'draft' AND invoice.status <> 'draft'
    JOIN billing_invoiceline line ON line.invoice_id = invoice.id AND line.kind = 'adjustment';
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0036_lean_indexes")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
