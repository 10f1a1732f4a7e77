"""What was agreed stays: plans in use with their rates and examples, what they count, subscriptions and their changes.

Words and logos of documents are named by their content, and never changed.
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

CREATE FUNCTION billing_costrate_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable CONSTANT text[] := '{effective_until,withdrawn_at}';
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Cost rate % cannot be deleted; withdraw it.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - changeable IS DISTINCT FROM to_jsonb(OLD) - changeable OR OLD.withdrawn_at IS NOT NULL THEN
        RAISE EXCEPTION 'Cost rate % cannot be changed; add another one.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER costrate_stays BEFORE UPDATE OR DELETE ON billing_costrate
    FOR EACH ROW EXECUTE FUNCTION billing_costrate_stays();

CREATE FUNCTION billing_change_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What was agreed about a subscription stays; take it back by another change.'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER change_stays BEFORE UPDATE OR DELETE ON billing_subscriptionchange
    FOR EACH ROW EXECUTE FUNCTION billing_change_stays();

CREATE FUNCTION billing_plan_disputes_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Plan % version % is frozen; make a new version.', OLD.code, OLD.version
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER plan_disputes_stay BEFORE UPDATE ON billing_plan
    FOR EACH ROW WHEN (OLD.status <> 'draft' AND (OLD.dispute_days, OLD.dispute_reason_required)
        IS DISTINCT FROM (NEW.dispute_days, NEW.dispute_reason_required))
    EXECUTE FUNCTION billing_plan_disputes_stay();

CREATE FUNCTION billing_paper_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Documents were written with this; it stays as it is.' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER words_stay BEFORE UPDATE OR DELETE ON billing_documentwords
    FOR EACH ROW EXECUTE FUNCTION billing_paper_stays();
CREATE TRIGGER logo_stays BEFORE UPDATE OR DELETE ON billing_logo
    FOR EACH ROW EXECUTE FUNCTION billing_paper_stays();

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
DROP TRIGGER logo_stays ON billing_logo;
DROP TRIGGER words_stay ON billing_documentwords;
DROP FUNCTION billing_paper_stays;
DROP TRIGGER plan_disputes_stay ON billing_plan;
DROP FUNCTION billing_plan_disputes_stay;
DROP TRIGGER change_stays ON billing_subscriptionchange;
DROP FUNCTION billing_change_stays;
DROP TRIGGER costrate_stays ON billing_costrate;
DROP FUNCTION billing_costrate_stays;
DROP TRIGGER customer_keeps_zone ON customers_customer;
DROP FUNCTION billing_customer_keeps_zone;
DROP TRIGGER priced_meter_stays ON metering_meter;
DROP FUNCTION billing_meter_stays;
DROP TRIGGER example_stays ON billing_planexample;
DROP TRIGGER rate_stays ON billing_rate;
DROP FUNCTION billing_rate_stays;
DROP TRIGGER plan_stays ON billing_plan;
DROP FUNCTION billing_plan_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
