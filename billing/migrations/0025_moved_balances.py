"""Credit balances of invoices that become credits, with what the database holds about them.

An entry that moves a balance and the credit it became are one: the same customer, currency and amount, neither without
the other. Taking one back takes back the other, whole and unused.
"""

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION billing_move_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved bigint := CASE WHEN TG_TABLE_NAME = 'billing_payment'
                         THEN coalesce((to_jsonb(NEW)->>'reverses_id')::bigint, (to_jsonb(NEW)->>'id')::bigint)
                         ELSE (to_jsonb(NEW)->>'source_payment_id')::bigint END;
    wrong text;
BEGIN
    SELECT invoice.number INTO wrong
    FROM billing_payment payment
    JOIN billing_invoice invoice ON invoice.id = payment.invoice_id
    LEFT JOIN billing_creditgrant credit ON credit.source_payment_id = payment.id
    LEFT JOIN billing_payment reversal ON reversal.reverses_id = payment.id
    WHERE payment.id = moved AND (payment.kind = 'moved' OR credit.id IS NOT NULL) AND (
        payment.kind <> 'moved'
        OR (credit.customer_id, credit.currency, credit.amount)
           IS DISTINCT FROM (invoice.customer_id, payment.currency, -payment.amount)
        OR (reversal.id IS NULL) <> (credit.voided_at IS NULL)
        OR reversal.id IS NOT NULL AND NOT EXISTS (
            SELECT FROM billing_creditentry entry
            WHERE entry.grant_id = credit.id AND entry.kind = 'voided' AND entry.amount = -credit.amount)
    );
    IF FOUND THEN
        RAISE EXCEPTION 'What was moved from invoice % and the credit it became are not the same.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payment_move_is_whole AFTER INSERT ON billing_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind IN ('moved', 'reversal'))
    EXECUTE FUNCTION billing_move_is_whole();
CREATE CONSTRAINT TRIGGER credit_move_is_whole AFTER INSERT ON billing_creditgrant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.source_payment_id IS NOT NULL)
    EXECUTE FUNCTION billing_move_is_whole();
CREATE CONSTRAINT TRIGGER void_move_is_whole AFTER UPDATE ON billing_creditgrant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.source_payment_id IS NOT NULL AND OLD.voided_at IS DISTINCT FROM NEW.voided_at)
    EXECUTE FUNCTION billing_move_is_whole();

-- What goes back or becomes a credit is the customer's: no more than the credit balance. Locks the invoice, so that the
-- second of two waits and looks at what the first left. The entry is written before the invoice's sums.
CREATE FUNCTION billing_within_credit_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE due numeric; name text;
BEGIN
    SELECT total - credits_applied - amount_paid - amount_credited - amount_written_off, number INTO due, name
    FROM billing_invoice WHERE id = NEW.invoice_id FOR UPDATE;
    IF due > NEW.amount THEN
        RAISE EXCEPTION 'More is paid back or moved to credits than the credit balance of invoice %.', name
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER within_credit_balance BEFORE INSERT ON billing_payment
    FOR EACH ROW WHEN (NEW.kind IN ('moved', 'refund')) EXECUTE FUNCTION billing_within_credit_balance();
"""
BACKWARD = """
DROP TRIGGER within_credit_balance ON billing_payment;
DROP FUNCTION billing_within_credit_balance;
DROP TRIGGER void_move_is_whole ON billing_creditgrant;
DROP TRIGGER credit_move_is_whole ON billing_creditgrant;
DROP TRIGGER payment_move_is_whole ON billing_payment;
DROP FUNCTION billing_move_is_whole;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0024_plan_terms_kept"),
        ("customers", "0004_payment_terms"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="creditgrant",
            name="creditgrant_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="payment",
            name="payment_sign_fits_kind",
        ),
        migrations.RemoveConstraint(
            model_name="payment",
            name="payment_method_known",
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="source_payment",
            field=models.OneToOneField(
                editable=False,
                help_text="The entry that took it off the invoice.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="moved_to",
                to="billing.payment",
            ),
        ),
        migrations.AlterField(
            model_name="creditentry",
            name="reason",
            field=models.CharField(blank=True, max_length=400),
        ),
        migrations.AlterField(
            model_name="creditgrant",
            name="kind",
            field=models.CharField(
                choices=[
                    ("prepaid", "Prepaid"),
                    ("promotional", "Promotional"),
                    ("carried_over", "Carried over from an invoice"),
                    ("moved", "Moved from a credit balance"),
                ],
                default="promotional",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="creditgrant",
            name="void_reason",
            field=models.CharField(blank=True, max_length=400),
        ),
        migrations.AlterField(
            model_name="payment",
            name="kind",
            field=models.CharField(
                choices=[
                    ("payment", "Payment"),
                    ("refund", "Refund"),
                    ("reversal", "Reversal"),
                    ("moved", "Moved to credits"),
                ],
                default="payment",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="method",
            field=models.CharField(
                blank=True,
                choices=[
                    ("bank_transfer", "Bank transfer"),
                    ("card", "Card"),
                    ("direct_debit", "Direct debit"),
                    ("cheque", "Cheque"),
                    ("cash", "Cash"),
                    ("other", "Other"),
                ],
                help_text="Empty where no money moved.",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["prepaid", "promotional", "carried_over", "moved"])),
                name="creditgrant_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "moved"), ("source_payment__isnull", False)),
                    models.Q(models.Q(("kind", "moved"), _negated=True), ("source_payment", None)),
                    _connector="OR",
                ),
                name="creditgrant_moved_names_payment",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("kind", "payment"), ("reverses", None)),
                    models.Q(("amount__lt", 0), ("kind__in", ["refund", "moved"]), ("reverses", None)),
                    models.Q(
                        ("kind", "reversal"),
                        ("reverses__isnull", False),
                        models.Q(("reason", ""), _negated=True),
                        models.Q(("amount", 0), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="payment_sign_fits_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("method__in", ["bank_transfer", "card", "direct_debit", "cheque", "cash", "other"]),
                    models.Q(("kind__in", ["moved", "reversal"]), ("method", "")),
                    _connector="OR",
                ),
                name="payment_method_known",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
