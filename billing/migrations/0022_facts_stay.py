"""What was agreed about a subscription is added to, never changed; fees invoiced so far say whose and for when."""

from django.db import migrations

FACTS_STAY = """
CREATE FUNCTION billing_change_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What was agreed about a subscription stays; take it back by another change.'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER change_stays BEFORE UPDATE OR DELETE ON billing_subscriptionchange
    FOR EACH ROW EXECUTE FUNCTION billing_change_stays();
"""
FACTS_MAY_GO = """
DROP TRIGGER change_stays ON billing_subscriptionchange;
DROP FUNCTION billing_change_stays;
"""
FEES = """
ALTER TABLE billing_invoiceline DISABLE TRIGGER line_stays_update;
ALTER TABLE billing_invoiceline DISABLE TRIGGER line_stays_moved;
UPDATE billing_invoiceline line
SET subscription_id = fee.subscription_id, fee_start = line.period_start, fee_n = fee.n
FROM (
    SELECT line.id, invoice.subscription_id,
           row_number() OVER (PARTITION BY invoice.subscription_id, line.rate_id, line.period_start ORDER BY line.id) AS n
    FROM billing_invoiceline line
    JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    WHERE line.kind = 'subscription' AND invoice.subscription_id IS NOT NULL AND line.rate_id IS NOT NULL
      AND coalesce(line.terms ->> 'timing', 'in_advance') = 'in_advance'
) fee
WHERE fee.id = line.id;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE billing_invoiceline ENABLE TRIGGER line_stays_update;
ALTER TABLE billing_invoiceline ENABLE TRIGGER line_stays_moved;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0021_subscription_life")]
    operations = [
        migrations.RunSQL(FACTS_STAY, FACTS_MAY_GO),
        migrations.RunSQL(FEES, migrations.RunSQL.noop),
    ]
