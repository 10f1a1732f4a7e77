"""What no program may do to money, refused by the database itself, also where two programs do it at once.

No two issued invoices of a subscription for one day; none in another currency or of another customer than its plan;
numbers without gaps; what is void, waived or settled stays so; what a subscription was billed by stays.
"""

import django.contrib.postgres.constraints
from django.db import migrations, models

FORWARD = """
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

-- Every adjustment that is issued is numbered here.
CREATE FUNCTION billing_adjustment_belongs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
    SELECT invoice.number INTO wrong
    FROM billing_invoiceline line
    JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    JOIN billing_invoiceline adjusted ON adjusted.id = line.adjusts_id
    JOIN billing_invoice other ON other.id = adjusted.invoice_id
    WHERE line.adjusts_id = NEW.line_id AND line.adjustment_n = NEW.n
      AND (other.customer_id, other.currency) IS DISTINCT FROM (invoice.customer_id, invoice.currency);
    IF FOUND THEN
        RAISE EXCEPTION 'Invoice % adjusts what another customer, or another currency, was billed.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER adjustment_belongs AFTER INSERT ON billing_adjustmentnumber
    FOR EACH ROW EXECUTE FUNCTION billing_adjustment_belongs();

CREATE FUNCTION billing_void_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Invoice % is void and stays so.', OLD.number USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER void_stays BEFORE UPDATE OF status ON billing_invoice
    FOR EACH ROW WHEN (OLD.status = 'void' AND NEW.status <> 'void') EXECUTE FUNCTION billing_void_stays();

-- A person who leaves may be taken off a waiver, nothing else.
CREATE FUNCTION billing_waiver_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'waived_by_id' = to_jsonb(OLD) - 'waived_by_id'
       AND NEW.waived_by_id IS NULL
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'What was waived or credited of a line stays.' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER waiver_stays BEFORE UPDATE OR DELETE ON billing_adjustmentwaiver
    FOR EACH ROW EXECUTE FUNCTION billing_waiver_stays();

CREATE FUNCTION billing_settlement_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM billing_invoice WHERE id = OLD.invoice_id AND status = 'void') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'What an invoice settled stays, unless the invoice is void.' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER settlement_stays BEFORE UPDATE OR DELETE ON billing_linesettlement
    FOR EACH ROW EXECUTE FUNCTION billing_settlement_stays();

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

CREATE FUNCTION billing_subscription_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_invoice WHERE subscription_id = OLD.id AND status <> 'draft') THEN
        RAISE EXCEPTION 'Subscription % is invoiced: what it was billed by stays.', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER subscription_stays BEFORE UPDATE ON billing_subscription
    FOR EACH ROW WHEN (
        NEW.start_on > OLD.start_on OR
        (NEW.customer_id, NEW.plan_id, NEW.timezone, NEW.anchor, NEW.anchored_on, NEW.quantity, NEW.trial_end_on,
         NEW.trial_usage_free) IS DISTINCT FROM
        (OLD.customer_id, OLD.plan_id, OLD.timezone, OLD.anchor, OLD.anchored_on, OLD.quantity, OLD.trial_end_on,
         OLD.trial_usage_free)
    ) EXECUTE FUNCTION billing_subscription_stays();
"""
BACKWARD = """
DROP TRIGGER subscription_stays ON billing_subscription;
DROP FUNCTION billing_subscription_stays;
DROP TRIGGER series_has_no_gaps ON billing_invoiceseries;
DROP FUNCTION billing_series_has_no_gaps;
DROP TRIGGER settlement_stays ON billing_linesettlement;
DROP FUNCTION billing_settlement_stays;
DROP TRIGGER waiver_stays ON billing_adjustmentwaiver;
DROP FUNCTION billing_waiver_stays;
DROP TRIGGER void_stays ON billing_invoice;
DROP FUNCTION billing_void_stays;
DROP TRIGGER adjustment_belongs ON billing_adjustmentnumber;
DROP FUNCTION billing_adjustment_belongs;
DROP TRIGGER added_invoices_belong ON billing_invoice;
DROP TRIGGER invoices_belong ON billing_invoice;
DROP FUNCTION billing_invoices_belong;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0040_reservations_expire")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                condition=models.Q(
                    ("kind", "periodic"), models.Q(("status__in", ["draft", "void"]), _negated=True)
                ),
                expressions=[
                    (
                        models.Func(
                            models.F("subscription_id"),
                            models.F("subscription_id"),
                            models.Value("[]"),
                            function="int8range",
                        ),
                        "&&",
                    ),
                    (
                        models.Func(models.F("period_start"), models.F("period_end"), function="daterange"),
                        "&&",
                    ),
                ],
                name="invoice_periods_never_overlap",
            ),
        ),
    ]
