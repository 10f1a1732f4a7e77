"""What was said about a dispute stays, and so do the rules of disputes of a plan in use."""

from django.db import migrations

STAY = """
CREATE FUNCTION billing_dispute_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What happened to a dispute stays; add a step.' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER disputestep_stays BEFORE UPDATE OR DELETE ON billing_disputestep
    FOR EACH ROW EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER dispute_stays BEFORE DELETE ON billing_dispute
    FOR EACH ROW EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER dispute_said_stays BEFORE UPDATE ON billing_dispute
    FOR EACH ROW WHEN ((OLD.customer_id, OLD.invoice_id, OLD.line_id, OLD.reason, OLD.opened_at, OLD.opened_by)
        IS DISTINCT FROM (NEW.customer_id, NEW.invoice_id, NEW.line_id, NEW.reason, NEW.opened_at, NEW.opened_by))
    EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER disputedoutcome_stays BEFORE DELETE ON billing_disputedoutcome
    FOR EACH ROW EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER disputedoutcome_accepted_stays BEFORE UPDATE ON billing_disputedoutcome
    FOR EACH ROW WHEN (OLD.state = 'accepted' OR OLD.event_id <> NEW.event_id OR OLD.dispute_id <> NEW.dispute_id)
    EXECUTE FUNCTION billing_dispute_stays();

CREATE FUNCTION billing_plan_disputes_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Plan % version % is frozen; make a new version.', OLD.code, OLD.version
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER plan_disputes_stay BEFORE UPDATE ON billing_plan
    FOR EACH ROW WHEN (OLD.status <> 'draft' AND (OLD.dispute_days, OLD.dispute_reason_required)
        IS DISTINCT FROM (NEW.dispute_days, NEW.dispute_reason_required))
    EXECUTE FUNCTION billing_plan_disputes_stay();
"""
GO = """
DROP TRIGGER plan_disputes_stay ON billing_plan;
DROP FUNCTION billing_plan_disputes_stay;
DROP TRIGGER disputedoutcome_accepted_stays ON billing_disputedoutcome;
DROP TRIGGER disputedoutcome_stays ON billing_disputedoutcome;
DROP TRIGGER dispute_said_stays ON billing_dispute;
DROP TRIGGER dispute_stays ON billing_dispute;
DROP TRIGGER disputestep_stays ON billing_disputestep;
DROP FUNCTION billing_dispute_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0027_disputes")]
    operations = [migrations.RunSQL(STAY, GO)]
