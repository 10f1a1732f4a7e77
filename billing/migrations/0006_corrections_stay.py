"""What corrected an invoice stays: adjustments numbered once, waivers, what each settled, and what was said of a dispute."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION billing_number_waiver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_adjustmentnumber (line_id, n) VALUES (NEW.line_id, NEW.adjustment_n);
    RETURN NULL;
END $$;
CREATE TRIGGER number_waiver AFTER INSERT ON billing_adjustmentwaiver
    FOR EACH ROW EXECUTE FUNCTION billing_number_waiver();

CREATE FUNCTION billing_dispute_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What happened to a dispute stays; add a step.' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER disputestep_stays BEFORE UPDATE OR DELETE ON billing_disputestep
    FOR EACH ROW EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER dispute_stays BEFORE DELETE ON billing_dispute
    FOR EACH ROW EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER disputedoutcome_stays BEFORE DELETE ON billing_disputedoutcome
    FOR EACH ROW EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER disputedoutcome_accepted_stays BEFORE UPDATE ON billing_disputedoutcome
    FOR EACH ROW WHEN (OLD.state = 'accepted' OR OLD.event_id <> NEW.event_id OR OLD.dispute_id <> NEW.dispute_id)
    EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER dispute_said_stays BEFORE UPDATE ON billing_dispute
    FOR EACH ROW WHEN ((OLD.customer_id, OLD.asked_for_id, OLD.invoice_id, OLD.line_id, OLD.reason, OLD.opened_at,
            OLD.opened_by)
        IS DISTINCT FROM (NEW.customer_id, NEW.asked_for_id, NEW.invoice_id, NEW.line_id, NEW.reason, NEW.opened_at,
            NEW.opened_by))
    EXECUTE FUNCTION billing_dispute_stays();

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
"""
BACKWARD = """
DROP TRIGGER settlement_stays ON billing_linesettlement;
DROP FUNCTION billing_settlement_stays;
DROP TRIGGER waiver_stays ON billing_adjustmentwaiver;
DROP FUNCTION billing_waiver_stays;
DROP TRIGGER adjustment_belongs ON billing_adjustmentnumber;
DROP FUNCTION billing_adjustment_belongs;
DROP TRIGGER dispute_said_stays ON billing_dispute;
DROP TRIGGER disputedoutcome_accepted_stays ON billing_disputedoutcome;
DROP TRIGGER disputedoutcome_stays ON billing_disputedoutcome;
DROP TRIGGER dispute_stays ON billing_dispute;
DROP TRIGGER disputestep_stays ON billing_disputestep;
DROP FUNCTION billing_dispute_stays;
DROP TRIGGER number_waiver ON billing_adjustmentwaiver;
DROP FUNCTION billing_number_waiver;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_payments_add_up")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
