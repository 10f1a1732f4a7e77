"""What no program may do to an invoice, refused by the database itself, also where two programs do it at once.

An invoice adds up from the moment it is issued, also where it is written as issued at once, and then stays with its lines.
No two issued invoices of a subscription for one day; none in another currency or of another customer than its plan;
numbers without gaps; what is void stays so.

Statement triggers look at each change once, not once a row, so closing thousands of customers does not feel them. What is
looked at when invoices are issued is one statement that takes as long as there are invoices: the rows before and after
an update are joined by a hash. The planner expects few drafts among them and would compare each row with each other one.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION billing_invoice_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable CONSTANT text[] := '{status,amount_paid,amount_credited,amount_written_off}';
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Invoice % is issued and cannot be deleted.', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - changeable IS DISTINCT FROM to_jsonb(OLD) - changeable OR NEW.status = 'draft' THEN
        RAISE EXCEPTION 'Invoice % is issued and cannot be changed.', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_stays BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION billing_invoice_stays();

CREATE FUNCTION billing_invoice_adds_up() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE issued bigint[];
BEGIN
    issued := ARRAY(
        SELECT invoice.id FROM changed invoice JOIN before ON before.id = invoice.id
        WHERE before.status = 'draft' AND invoice.status <> 'draft'
    );
    IF issued <> '{}' THEN PERFORM billing_issued_add_up(issued); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoice_adds_up AFTER UPDATE ON billing_invoice
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_invoice_adds_up();

CREATE FUNCTION billing_line_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM touched JOIN billing_invoice invoice ON invoice.id = touched.invoice_id
               WHERE invoice.status <> 'draft')
    THEN
        RAISE EXCEPTION 'The lines of an issued invoice cannot be changed.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER line_stays_insert AFTER INSERT ON billing_invoiceline
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();
CREATE TRIGGER line_stays_update AFTER UPDATE ON billing_invoiceline
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();
CREATE TRIGGER line_stays_moved AFTER UPDATE ON billing_invoiceline
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();
CREATE TRIGGER line_stays_delete AFTER DELETE ON billing_invoiceline
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();
CREATE TRIGGER discount_stays_insert AFTER INSERT ON billing_invoicediscount
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();
CREATE TRIGGER discount_stays_update AFTER UPDATE ON billing_invoicediscount
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();
CREATE TRIGGER discount_stays_moved AFTER UPDATE ON billing_invoicediscount
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();
CREATE TRIGGER discount_stays_delete AFTER DELETE ON billing_invoicediscount
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_line_stays();

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

-- Decimals of a currency's minor unit (ISO 4217), as billing.rating.money has them; a test compares them.
CREATE FUNCTION billing_minor_digits(currency text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN currency IN (
        'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV',
        'XAF', 'XOF', 'XPF'
        ) THEN 0
        WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        WHEN currency IN ('CLF', 'UYW') THEN 4
        ELSE 2 END
$$;
ALTER TABLE billing_invoice ADD CONSTRAINT invoice_in_minor_units CHECK (
    greatest(
        scale(trim_scale(subtotal)), scale(trim_scale(discount)), scale(trim_scale(tax)), scale(trim_scale(tax_included)),
        scale(trim_scale(total)), scale(trim_scale(credits_applied)), scale(trim_scale(amount_paid)),
        scale(trim_scale(amount_credited)), scale(trim_scale(amount_written_off))
    ) <= billing_minor_digits(currency)
);

-- What holds for invoices from the moment they are issued.
CREATE FUNCTION billing_issued_add_up(issued bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
    SELECT invoice.number, CASE
        WHEN greatest(line.digits, tax.digits) > billing_minor_digits(invoice.currency) THEN 'amounts'
        WHEN invoice.subtotal <> line.amount + part.subtotal THEN ''
        WHEN invoice.discount <> line.discount + part.discount THEN 'discounts of its lines'
        WHEN invoice.discount <> coupon.discount + part.discount THEN 'amounts of its coupons'
        WHEN invoice.tax <> tax.added OR invoice.tax_included <> tax.included THEN 'amounts of its taxes'
        ELSE 'credits in the ledger' END AS part
    INTO wrong
    FROM billing_invoice invoice
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(discount), 0) AS discount,
               max(greatest(scale(trim_scale(amount)), scale(trim_scale(discount)))) AS digits
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
               coalesce(sum((each ->> 'amount')::numeric) FILTER (WHERE (each ->> 'inclusive')::boolean), 0) AS included,
               max(scale(trim_scale((each ->> 'amount')::numeric))) AS digits
        FROM jsonb_array_elements(invoice.taxes) AS each
    ) tax
    CROSS JOIN LATERAL (
        SELECT coalesce(-sum(amount), 0) AS applied FROM billing_creditentry
        WHERE invoice_id = invoice.id AND kind IN ('applied', 'granted')
    ) credit
    WHERE invoice.id = ANY(issued) AND (
        greatest(line.digits, tax.digits) > billing_minor_digits(invoice.currency) OR
        invoice.subtotal <> line.amount + part.subtotal OR invoice.discount <> line.discount + part.discount
        OR invoice.discount <> coupon.discount + part.discount OR invoice.tax <> tax.added
        OR invoice.tax_included <> tax.included OR invoice.credits_applied <> credit.applied)
    LIMIT 1;
    IF FOUND AND wrong.part = '' THEN
        RAISE EXCEPTION 'The lines of invoice % do not add up to its subtotal.', wrong.number
            USING ERRCODE = 'check_violation';
    ELSIF FOUND AND wrong.part = 'amounts' THEN
        RAISE EXCEPTION 'Amounts of invoice % are finer than its currency.', wrong.number
            USING ERRCODE = 'check_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'The % of invoice % do not add up to what it says.', wrong.part, wrong.number
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO billing_adjustmentnumber (line_id, n)
    SELECT adjusts_id, adjustment_n FROM billing_invoiceline WHERE invoice_id = ANY(issued) AND kind = 'adjustment';
END $$;

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
CREATE TRIGGER added_invoice_adds_up AFTER INSERT ON billing_invoice
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_added_invoice_adds_up();

-- Of whole statements: a trigger of rows before their INSERT would have COPY write them one by one.
CREATE FUNCTION billing_invoices_belong() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
    SELECT changed.number INTO wrong FROM changed
    WHERE changed.status <> 'draft' AND changed.subscription_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM billing_subscription subscription JOIN billing_plan plan ON plan.id = subscription.plan_id
        WHERE subscription.id = changed.subscription_id AND subscription.customer_id = changed.customer_id
          AND plan.currency = changed.currency
    );
    IF FOUND THEN
        RAISE EXCEPTION 'Invoice % is in another currency, or of another customer, than its plan.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT changed.number INTO wrong
    FROM changed JOIN billing_invoiceseries series ON series.prefix = changed.series_id
    WHERE changed.status <> 'draft' AND changed.sequence > series.last_number;
    IF FOUND THEN
        RAISE EXCEPTION 'The number % was not taken from its series.', wrong USING ERRCODE = 'check_violation';
    END IF;
    SELECT number INTO wrong FROM changed
    WHERE status <> 'draft'
      AND number <> series_id || '-' || lpad(sequence::text, greatest(6, length(sequence::text)), '0');
    IF FOUND THEN
        RAISE EXCEPTION 'The number % is not that of its series.', wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_belong AFTER UPDATE ON billing_invoice
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION billing_invoices_belong();
CREATE TRIGGER added_invoices_belong AFTER INSERT ON billing_invoice
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION billing_invoices_belong();

CREATE FUNCTION billing_void_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Invoice % is void and stays so.', OLD.number USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER void_stays BEFORE UPDATE OF status ON billing_invoice
    FOR EACH ROW WHEN (OLD.status = 'void' AND NEW.status <> 'void') EXECUTE FUNCTION billing_void_stays();

-- Looked at once all of a transaction is written: every number taken is on an invoice or a credit note.
CREATE FUNCTION billing_series_has_no_gaps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.last_number < OLD.last_number OR NEW.last_number - OLD.last_number <> (
        (SELECT count(*) FROM billing_invoice WHERE series_id = NEW.prefix
             AND sequence > OLD.last_number AND sequence <= NEW.last_number)
        + (SELECT count(*) FROM billing_creditnote WHERE series_id = NEW.prefix
             AND sequence > OLD.last_number AND sequence <= NEW.last_number)
    ) THEN
        RAISE EXCEPTION 'Numbers of the series % between % and % are on no invoice.', NEW.prefix, OLD.last_number,
            NEW.last_number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER series_has_no_gaps AFTER UPDATE ON billing_invoiceseries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_series_has_no_gaps();
"""
BACKWARD = """
DROP TRIGGER series_has_no_gaps ON billing_invoiceseries;
DROP FUNCTION billing_series_has_no_gaps;
DROP TRIGGER void_stays ON billing_invoice;
DROP FUNCTION billing_void_stays;
DROP TRIGGER added_invoices_belong ON billing_invoice;
DROP TRIGGER invoices_belong ON billing_invoice;
DROP FUNCTION billing_invoices_belong;
DROP TRIGGER added_invoice_adds_up ON billing_invoice;
DROP FUNCTION billing_added_invoice_adds_up;
DROP FUNCTION billing_issued_add_up;
ALTER TABLE billing_invoice DROP CONSTRAINT invoice_in_minor_units;
DROP FUNCTION billing_minor_digits;
DROP TRIGGER invoice_part_agrees ON billing_invoice;
DROP FUNCTION billing_invoice_parts_agree;
DROP TRIGGER discount_stays_delete ON billing_invoicediscount;
DROP TRIGGER discount_stays_moved ON billing_invoicediscount;
DROP TRIGGER discount_stays_update ON billing_invoicediscount;
DROP TRIGGER discount_stays_insert ON billing_invoicediscount;
DROP TRIGGER line_stays_delete ON billing_invoiceline;
DROP TRIGGER line_stays_moved ON billing_invoiceline;
DROP TRIGGER line_stays_update ON billing_invoiceline;
DROP TRIGGER line_stays_insert ON billing_invoiceline;
DROP FUNCTION billing_line_stays;
DROP TRIGGER invoice_adds_up ON billing_invoice;
DROP FUNCTION billing_invoice_adds_up;
DROP TRIGGER invoice_stays ON billing_invoice;
DROP FUNCTION billing_invoice_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_terms_stay")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
