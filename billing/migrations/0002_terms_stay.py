"""What was agreed and what was issued stays: rates of a plan in use, issued invoices and their lines.

Statement triggers look at each change once, not once a row, so closing thousands of customers does not feel them.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION billing_plan_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Plan % version % is in use and cannot be deleted.', OLD.code, OLD.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.code, NEW.version, NEW.name, NEW.currency, NEW.billing_period, NEW.activated_at, NEW.usage_period,
        NEW.minimum_amount, NEW.included_spend, NEW.service_fee_percent, NEW.custom_unit, NEW.custom_unit_value)
           IS DISTINCT FROM
       (OLD.code, OLD.version, OLD.name, OLD.currency, OLD.billing_period, OLD.activated_at, OLD.usage_period,
        OLD.minimum_amount, OLD.included_spend, OLD.service_fee_percent, OLD.custom_unit, OLD.custom_unit_value)
       OR NEW.status = 'draft'
    THEN
        RAISE EXCEPTION 'Plan % version % is frozen; make a new version.', OLD.code, OLD.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER plan_stays BEFORE UPDATE OR DELETE ON billing_plan
    FOR EACH ROW EXECUTE FUNCTION billing_plan_stays();

CREATE FUNCTION billing_rate_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_plan WHERE status <> 'draft'
               AND id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.plan_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.plan_id END))
    THEN
        RAISE EXCEPTION 'The rates and examples of a plan in use are frozen; make a new version.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rate_stays BEFORE INSERT OR UPDATE OR DELETE ON billing_rate
    FOR EACH ROW EXECUTE FUNCTION billing_rate_stays();
CREATE TRIGGER example_stays BEFORE INSERT OR UPDATE OR DELETE ON billing_planexample
    FOR EACH ROW EXECUTE FUNCTION billing_rate_stays();

CREATE FUNCTION billing_meter_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (metering_meter_definition(NEW) IS DISTINCT FROM metering_meter_definition(OLD)
            OR NOT NEW.dimensions @> OLD.dimensions)
       AND EXISTS (SELECT FROM billing_rate rate JOIN billing_plan plan ON plan.id = rate.plan_id
                   WHERE rate.meter_id = OLD.id AND plan.status <> 'draft')
    THEN
        RAISE EXCEPTION 'Meter % is priced by a plan in use: it cannot count in another way.', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER priced_meter_stays BEFORE UPDATE ON metering_meter
    FOR EACH ROW EXECUTE FUNCTION billing_meter_stays();

CREATE FUNCTION billing_customer_keeps_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.timezone, NEW.currency) IS DISTINCT FROM (OLD.timezone, OLD.currency)
       AND EXISTS (SELECT FROM billing_subscription WHERE customer_id = OLD.id)
    THEN
        RAISE EXCEPTION 'Customer % has a plan: its periods are counted in % and billed in %.',
            OLD.code, OLD.timezone, OLD.currency USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER customer_keeps_zone BEFORE UPDATE OF timezone, currency ON customers_customer
    FOR EACH ROW EXECUTE FUNCTION billing_customer_keeps_zone();

CREATE FUNCTION billing_invoice_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Invoice % is issued and cannot be deleted.', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - '{status,amount_paid}'::text[] IS DISTINCT FROM to_jsonb(OLD) - '{status,amount_paid}'::text[]
       OR NEW.status = 'draft'
    THEN
        RAISE EXCEPTION 'Invoice % is issued and cannot be changed.', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_stays BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION billing_invoice_stays();

-- An invoice becomes issued only by an update, when its lines are there to be added up.
CREATE FUNCTION billing_invoice_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER invoice_adds_up AFTER UPDATE ON billing_invoice
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_invoice_adds_up();

CREATE FUNCTION billing_invoice_starts_as_draft() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added WHERE status <> 'draft') THEN
        RAISE EXCEPTION 'An invoice is drawn up as a draft first.' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoice_starts_as_draft AFTER INSERT ON billing_invoice
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_invoice_starts_as_draft();

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
"""
BACKWARD = """
DROP TRIGGER line_stays_delete ON billing_invoiceline;
DROP TRIGGER line_stays_moved ON billing_invoiceline;
DROP TRIGGER line_stays_update ON billing_invoiceline;
DROP TRIGGER line_stays_insert ON billing_invoiceline;
DROP FUNCTION billing_line_stays;
DROP TRIGGER invoice_starts_as_draft ON billing_invoice;
DROP FUNCTION billing_invoice_starts_as_draft;
DROP TRIGGER invoice_adds_up ON billing_invoice;
DROP FUNCTION billing_invoice_adds_up;
DROP TRIGGER invoice_stays ON billing_invoice;
DROP FUNCTION billing_invoice_stays;
DROP TRIGGER priced_meter_stays ON metering_meter;
DROP FUNCTION billing_meter_stays;
DROP TRIGGER customer_keeps_zone ON customers_customer;
DROP FUNCTION billing_customer_keeps_zone;
DROP TRIGGER example_stays ON billing_planexample;
DROP TRIGGER rate_stays ON billing_rate;
DROP FUNCTION billing_rate_stays;
DROP TRIGGER plan_stays ON billing_plan;
DROP FUNCTION billing_plan_stays;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0001_initial"),
        ("customers", "0002_customers_stay"),
        ("metering", "0002_events_stay"),
    ]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
