"""A customer may withdraw a dispute; it says for whom it was asked, and what was at stake."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import billing.models.invoices

# A column cannot change its type while the condition of a trigger looks at it.
BEFORE = """
DROP TRIGGER disputedoutcome_accepted_stays ON billing_disputedoutcome;
DROP TRIGGER dispute_said_stays ON billing_dispute;
"""
AFTER = """
CREATE TRIGGER disputedoutcome_accepted_stays BEFORE UPDATE ON billing_disputedoutcome
    FOR EACH ROW WHEN (OLD.state = 'accepted' OR OLD.event_id <> NEW.event_id OR OLD.dispute_id <> NEW.dispute_id)
    EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER dispute_said_stays BEFORE UPDATE ON billing_dispute
    FOR EACH ROW WHEN ((OLD.customer_id, OLD.asked_for_id, OLD.invoice_id, OLD.line_id, OLD.reason, OLD.opened_at,
            OLD.opened_by)
        IS DISTINCT FROM (NEW.customer_id, NEW.asked_for_id, NEW.invoice_id, NEW.line_id, NEW.reason, NEW.opened_at,
            NEW.opened_by))
    EXECUTE FUNCTION billing_dispute_stays();
"""
WAS = """
CREATE TRIGGER disputedoutcome_accepted_stays BEFORE UPDATE ON billing_disputedoutcome
    FOR EACH ROW WHEN (OLD.state = 'accepted' OR OLD.event_id <> NEW.event_id OR OLD.dispute_id <> NEW.dispute_id)
    EXECUTE FUNCTION billing_dispute_stays();
CREATE TRIGGER dispute_said_stays BEFORE UPDATE ON billing_dispute
    FOR EACH ROW WHEN ((OLD.customer_id, OLD.invoice_id, OLD.line_id, OLD.reason, OLD.opened_at, OLD.opened_by)
        IS DISTINCT FROM (NEW.customer_id, NEW.invoice_id, NEW.line_id, NEW.reason, NEW.opened_at, NEW.opened_by))
    EXECUTE FUNCTION billing_dispute_stays();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0037_invoices_add_up"),
        ("customers", "0008_stored_answers"),
    ]

    operations = [
        migrations.RunSQL(BEFORE, WAS),
        migrations.RemoveConstraint(
            model_name="dispute",
            name="dispute_state_known",
        ),
        migrations.RemoveConstraint(
            model_name="disputedoutcome",
            name="disputedoutcome_decided_by_step",
        ),
        migrations.RemoveConstraint(
            model_name="disputestep",
            name="disputestep_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="webhookmessage",
            name="webhookmessage_type_known",
        ),
        migrations.AddField(
            model_name="dispute",
            name="asked_for",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="customers.customer",
            ),
        ),
        migrations.AddField(
            model_name="dispute",
            name="at_stake",
            field=billing.models.invoices.AmountField(
                decimal_places=4,
                help_text="What accepting all of it came to, before tax, when it was opened or reopened. Negative: less owed.",
                max_digits=24,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="dispute",
            name="state",
            field=models.CharField(
                choices=[("open", "Open"), ("decided", "Decided"), ("withdrawn", "Withdrawn")],
                default="open",
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="disputedoutcome",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "Open"),
                    ("accepted", "Accepted"),
                    ("declined", "Declined"),
                    ("withdrawn", "Withdrawn"),
                ],
                default="open",
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="disputestep",
            name="kind",
            field=models.CharField(
                choices=[
                    ("opened", "Disputed"),
                    ("decided", "Decided"),
                    ("reopened", "Reopened"),
                    ("withdrawn", "Withdrawn"),
                ],
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="webhookendpoint",
            name="event_types",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("invoice.issued", "An invoice was issued"),
                        ("invoice.paid", "Nothing is due on an invoice any more"),
                        ("invoice.overdue", "An invoice is past its due day"),
                        ("invoice.voided", "An invoice was voided"),
                        ("credit_note.issued", "A credit note was issued"),
                        ("subscription.changed", "A plan was assigned, changed or ended"),
                        ("alert.fired", "A budget or a credit balance reached its threshold"),
                        ("usage_limit.reached", "A customer reached a part of a usage limit"),
                        ("outcome.disputed", "A customer disputed an outcome"),
                        ("dispute.decided", "A dispute was decided"),
                        ("dispute.reopened", "What was declined is looked at again"),
                        ("dispute.withdrawn", "A customer withdrew a dispute"),
                        ("close.finished", "A close of a month ended"),
                    ],
                    max_length=64,
                ),
                blank=True,
                default=list,
                help_text="None chosen: all of them, those of later versions too.",
                size=None,
                verbose_name="events",
            ),
        ),
        migrations.AlterField(
            model_name="webhookmessage",
            name="type",
            field=models.CharField(
                choices=[
                    ("invoice.issued", "An invoice was issued"),
                    ("invoice.paid", "Nothing is due on an invoice any more"),
                    ("invoice.overdue", "An invoice is past its due day"),
                    ("invoice.voided", "An invoice was voided"),
                    ("credit_note.issued", "A credit note was issued"),
                    ("subscription.changed", "A plan was assigned, changed or ended"),
                    ("alert.fired", "A budget or a credit balance reached its threshold"),
                    ("usage_limit.reached", "A customer reached a part of a usage limit"),
                    ("outcome.disputed", "A customer disputed an outcome"),
                    ("dispute.decided", "A dispute was decided"),
                    ("dispute.reopened", "What was declined is looked at again"),
                    ("dispute.withdrawn", "A customer withdrew a dispute"),
                    ("close.finished", "A close of a month ended"),
                    ("webhook.test", "A test that somebody asked for"),
                ],
                max_length=64,
            ),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["open", "decided", "withdrawn"])),
                name="dispute_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="disputedoutcome",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_by", None), ("state", "open")),
                    models.Q(
                        ("decided_by__isnull", False), ("state__in", ["accepted", "declined", "withdrawn"])
                    ),
                    _connector="OR",
                ),
                name="disputedoutcome_decided_by_step",
            ),
        ),
        migrations.AddConstraint(
            model_name="disputestep",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["opened", "decided", "reopened", "withdrawn"])),
                name="disputestep_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "type__in",
                        [
                            "invoice.issued",
                            "invoice.paid",
                            "invoice.overdue",
                            "invoice.voided",
                            "credit_note.issued",
                            "subscription.changed",
                            "alert.fired",
                            "usage_limit.reached",
                            "outcome.disputed",
                            "dispute.decided",
                            "dispute.reopened",
                            "dispute.withdrawn",
                            "close.finished",
                            "webhook.test",
                        ],
                    )
                ),
                name="webhookmessage_type_known",
            ),
        ),
        migrations.RunSQL(AFTER, BEFORE),
    ]
