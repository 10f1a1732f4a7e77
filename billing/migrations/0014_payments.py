"""Payments, credit notes and decisions about issued invoices, with the equations that the database holds."""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

import billing.models.invoices

# What was issued over nothing to pay, or was paid by credits, counts as paid from now on.
PAID = """
UPDATE billing_invoice SET status = 'paid'
WHERE status = 'issued'
  AND total <= credits_applied + amount_paid + amount_credited + amount_written_off;
"""
FORWARD = """
CREATE FUNCTION billing_record_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What is recorded about an issued invoice stays; record the opposite.'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER payment_stays BEFORE UPDATE OR DELETE ON billing_payment
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();
CREATE TRIGGER change_stays BEFORE UPDATE OR DELETE ON billing_invoicechange
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();
CREATE TRIGGER creditnote_stays BEFORE UPDATE OR DELETE ON billing_creditnote
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();
CREATE TRIGGER creditnoteline_stays BEFORE UPDATE OR DELETE ON billing_creditnoteline
    FOR EACH ROW EXECUTE FUNCTION billing_record_stays();

-- Looked at once all of a transaction is written: the sums on an invoice are those of its rows.
CREATE FUNCTION billing_invoice_is_settled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    target bigint := CASE WHEN TG_TABLE_NAME = 'billing_invoice' THEN (to_jsonb(NEW)->>'id')::bigint
                          ELSE (to_jsonb(NEW)->>'invoice_id')::bigint END;
    wrong text;
BEGIN
    SELECT coalesce(number, 'draft') INTO wrong FROM billing_invoice invoice
    WHERE id = target AND (
        amount_paid <> (SELECT coalesce(sum(amount), 0) FROM billing_payment WHERE invoice_id = target)
        OR amount_credited <> (SELECT coalesce(sum(total), 0) FROM billing_creditnote WHERE invoice_id = target)
        OR amount_written_off <> (SELECT coalesce(sum(amount), 0) FROM billing_invoicechange WHERE invoice_id = target)
        OR EXISTS (SELECT FROM billing_payment WHERE invoice_id = target AND currency <> invoice.currency)
        OR EXISTS (SELECT FROM billing_creditnote WHERE invoice_id = target AND currency <> invoice.currency));
    IF FOUND THEN
        RAISE EXCEPTION 'The sums of invoice % are not those of its payments, credit notes and write-offs.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER invoice_is_settled AFTER UPDATE ON billing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.amount_paid, OLD.amount_credited, OLD.amount_written_off)
          IS DISTINCT FROM (NEW.amount_paid, NEW.amount_credited, NEW.amount_written_off))
    EXECUTE FUNCTION billing_invoice_is_settled();
CREATE CONSTRAINT TRIGGER payment_is_summed AFTER INSERT ON billing_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_invoice_is_settled();
CREATE CONSTRAINT TRIGGER change_is_summed AFTER INSERT ON billing_invoicechange
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_invoice_is_settled();
CREATE CONSTRAINT TRIGGER creditnote_is_summed AFTER INSERT ON billing_creditnote
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_invoice_is_settled();

-- A reversal is the exact opposite of a payment or refund of the same invoice.
CREATE FUNCTION billing_reversal_is_opposite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_payment original WHERE original.id = NEW.reverses_id
                   AND original.kind <> 'reversal' AND original.invoice_id = NEW.invoice_id
                   AND original.amount = -NEW.amount)
    THEN
        RAISE EXCEPTION 'A reversal is the exact opposite of one payment of the same invoice.'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reversal_is_opposite BEFORE INSERT ON billing_payment
    FOR EACH ROW WHEN (NEW.kind = 'reversal') EXECUTE FUNCTION billing_reversal_is_opposite();

-- The lines of a credit note make its sums, and never take back more of a line than it says.
CREATE FUNCTION billing_creditnote_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    target bigint := CASE WHEN TG_TABLE_NAME = 'billing_creditnote' THEN (to_jsonb(NEW)->>'id')::bigint
                          ELSE (to_jsonb(NEW)->>'credit_note_id')::bigint END;
    wrong text;
BEGIN
    SELECT note.number INTO wrong FROM billing_creditnote note
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(discount), 0) AS discount,
               coalesce(sum(tax), 0) AS tax, coalesce(sum(tax_included), 0) AS tax_included
        FROM billing_creditnoteline WHERE credit_note_id = note.id
    ) line ON true
    WHERE note.id = target AND (note.subtotal, note.discount, note.tax, note.tax_included)
          IS DISTINCT FROM (line.amount, line.discount, line.tax, line.tax_included);
    IF FOUND THEN
        RAISE EXCEPTION 'The lines of credit note % do not add up to it.', wrong USING ERRCODE = 'check_violation';
    END IF;
    SELECT note.number INTO wrong
    FROM billing_creditnote note
    JOIN billing_creditnoteline mine ON mine.credit_note_id = note.id
    JOIN billing_invoiceline line ON line.id = mine.invoice_line_id
    JOIN LATERAL (SELECT sum(amount) AS amount FROM billing_creditnoteline WHERE invoice_line_id = line.id) taken ON true
    WHERE note.id = target
      AND (line.invoice_id <> note.invoice_id OR taken.amount * sign(line.amount) < 0
           OR abs(taken.amount) > abs(line.amount));
    IF FOUND THEN
        RAISE EXCEPTION 'Credit note % takes back more of a line than was invoiced.', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER creditnote_adds_up AFTER INSERT ON billing_creditnote
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_creditnote_adds_up();
CREATE CONSTRAINT TRIGGER creditnoteline_adds_up AFTER INSERT ON billing_creditnoteline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_creditnote_adds_up();
"""
BACKWARD = """
DROP TRIGGER creditnoteline_adds_up ON billing_creditnoteline;
DROP TRIGGER creditnote_adds_up ON billing_creditnote;
DROP FUNCTION billing_creditnote_adds_up;
DROP TRIGGER reversal_is_opposite ON billing_payment;
DROP FUNCTION billing_reversal_is_opposite;
DROP TRIGGER creditnote_is_summed ON billing_creditnote;
DROP TRIGGER change_is_summed ON billing_invoicechange;
DROP TRIGGER payment_is_summed ON billing_payment;
DROP TRIGGER invoice_is_settled ON billing_invoice;
DROP FUNCTION billing_invoice_is_settled;
DROP TRIGGER creditnoteline_stays ON billing_creditnoteline;
DROP TRIGGER creditnote_stays ON billing_creditnote;
DROP TRIGGER change_stays ON billing_invoicechange;
DROP TRIGGER payment_stays ON billing_payment;
DROP FUNCTION billing_record_stays;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_ledger_stays"),
        ("customers", "0004_payment_terms"),
        ("metering", "0006_event_archive"),
    ]

    operations = [
        migrations.RunSQL(PAID, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sequence", models.BigIntegerField()),
                ("number", models.CharField(max_length=64, unique=True)),
                ("issued_at", models.DateTimeField()),
                ("zone", models.CharField(max_length=64, verbose_name="time zone")),
                ("currency", models.CharField(max_length=3)),
                (
                    "subtotal",
                    billing.models.invoices.AmountField(
                        decimal_places=4, help_text="The sum of the lines.", max_digits=24
                    ),
                ),
                ("discount", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                ("tax", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                (
                    "tax_included",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                ("total", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                (
                    "taxes",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Tax by rate, as on the invoice: what is taken back.",
                    ),
                ),
                ("issuer", models.JSONField()),
                ("recipient", models.JSONField()),
                ("reason", models.CharField(max_length=400)),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's own name for it: issued once.",
                        max_length=200,
                        null=True,
                        unique=True,
                    ),
                ),
                ("recorded_by", models.CharField(max_length=200)),
            ],
            options={
                "ordering": ["-issued_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="CreditNoteLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("n", models.PositiveIntegerField(verbose_name="line")),
                ("description", models.CharField(max_length=400)),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                ("discount", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                ("tax", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                (
                    "tax_included",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                (
                    "taxes",
                    models.JSONField(
                        blank=True, default=dict, help_text="Tax by the number of the invoice's tax, as text."
                    ),
                ),
            ],
            options={
                "ordering": ["n"],
            },
        ),
        migrations.CreateModel(
            name="InvoiceChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("approved", "Approved and issued"),
                            ("write_off", "Written off"),
                            ("reinstate", "Write-off taken back"),
                            ("void", "Voided"),
                        ],
                        max_length=16,
                    ),
                ),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                ("reason", models.CharField(blank=True, max_length=400)),
                ("recorded_by", models.CharField(max_length=200)),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["recorded_at", "id"],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("payment", "Payment"), ("refund", "Refund"), ("reversal", "Reversal")],
                        default="payment",
                        max_length=16,
                    ),
                ),
                (
                    "amount",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        help_text="Above zero what came in; below zero what went back or was taken back.",
                        max_digits=24,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("received_on", models.DateField(help_text="The day of the money, as the bank says.")),
                (
                    "method",
                    models.CharField(
                        choices=[
                            ("bank_transfer", "Bank transfer"),
                            ("card", "Card"),
                            ("direct_debit", "Direct debit"),
                            ("cheque", "Cheque"),
                            ("cash", "Cash"),
                            ("other", "Other"),
                        ],
                        max_length=16,
                    ),
                ),
                ("reference", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=400)),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's own name for it: recorded once.",
                        max_length=200,
                        null=True,
                        unique=True,
                    ),
                ),
                ("recorded_by", models.CharField(max_length=200)),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-recorded_at", "-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="invoiceline",
            name="invoiceline_kind_known",
        ),
        migrations.AddField(
            model_name="historicalinvoice",
            name="key",
            field=models.CharField(
                blank=True,
                db_index=True,
                help_text="The caller's own name for a one-off invoice: made once.",
                max_length=200,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="key",
            field=models.CharField(
                blank=True,
                help_text="The caller's own name for a one-off invoice: made once.",
                max_length=200,
                null=True,
                unique=True,
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("usage", "Usage"),
                    ("subscription", "Subscription"),
                    ("one_time", "One-time"),
                    ("included_spend", "Included spend"),
                    ("minimum", "Plan minimum"),
                    ("service_fee", "Service fee"),
                    ("adjustment", "Adjustment"),
                    ("item", "Item"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount_credited", 0),
                        ("amount_paid", 0),
                        ("status__in", ["draft", "void"]),
                        ("amount_written_off", 0),
                    ),
                    models.Q(
                        ("status", "issued"),
                        (
                            "total__gt",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("credits_applied"), "+", models.F("amount_paid")
                                    ),
                                    "+",
                                    models.F("amount_credited"),
                                ),
                                "+",
                                models.F("amount_written_off"),
                            ),
                        ),
                        ("amount_written_off", 0),
                    ),
                    models.Q(
                        ("status", "paid"),
                        (
                            "total__lte",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("credits_applied"), "+", models.F("amount_paid")
                                    ),
                                    "+",
                                    models.F("amount_credited"),
                                ),
                                "+",
                                models.F("amount_written_off"),
                            ),
                        ),
                        ("amount_written_off", 0),
                    ),
                    models.Q(
                        ("amount_written_off__gt", 0),
                        ("status", "written_off"),
                        (
                            "total",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("credits_applied"), "+", models.F("amount_paid")
                                    ),
                                    "+",
                                    models.F("amount_credited"),
                                ),
                                "+",
                                models.F("amount_written_off"),
                            ),
                        ),
                    ),
                    _connector="OR",
                ),
                name="invoice_status_fits_balance",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_credited", 0), ("amount_credited__lte", models.F("total")), _connector="OR"
                ),
                name="invoice_credited_up_to_total",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "usage",
                            "subscription",
                            "one_time",
                            "included_spend",
                            "minimum",
                            "service_fee",
                            "adjustment",
                            "item",
                        ],
                    )
                ),
                name="invoiceline_kind_known",
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="credit_notes", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="series",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.invoiceseries"
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="credit_note",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="billing.creditnote"
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="invoice_line",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="credits", to="billing.invoiceline"
            ),
        ),
        migrations.AddField(
            model_name="invoicechange",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="changes", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="payments", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="reverses",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversal",
                to="billing.payment",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.UniqueConstraint(
                fields=("series", "sequence"), name="creditnote_sequence_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("subtotal"), "-", models.F("discount")
                            ),
                            "+",
                            models.F("tax"),
                        ),
                    ),
                    ("total__gt", 0),
                ),
                name="creditnote_total_is_sum_of_parts",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="creditnote_has_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnoteline",
            constraint=models.UniqueConstraint(
                fields=("credit_note", "n"), name="creditnoteline_numbered_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnoteline",
            constraint=models.UniqueConstraint(
                fields=("credit_note", "invoice_line"), name="creditnoteline_line_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicechange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount", 0), ("kind__in", ["approved", "void"])),
                    models.Q(("amount__gt", 0), ("kind", "write_off")),
                    models.Q(("amount__lt", 0), ("kind", "reinstate")),
                    _connector="OR",
                ),
                name="invoicechange_amount_fits_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicechange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind", "approved"), models.Q(("reason", ""), _negated=True), _connector="OR"
                ),
                name="invoicechange_has_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("kind", "payment"), ("reverses", None)),
                    models.Q(("amount__lt", 0), ("kind", "refund"), ("reverses", None)),
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
                    ("method__in", ["bank_transfer", "card", "direct_debit", "cheque", "cash", "other"])
                ),
                name="payment_method_known",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
