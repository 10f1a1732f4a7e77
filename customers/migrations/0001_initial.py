"""Customers, their keys and who of them may open the portal: the tables."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import customers.countries
import customers.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "__first__"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                (
                    "id",
                    models.CharField(
                        editable=False, max_length=150, primary_key=True, serialize=False, unique=True
                    ),
                ),
                ("prefix", models.CharField(editable=False, max_length=8, unique=True)),
                ("hashed_key", models.CharField(editable=False, max_length=150)),
                ("created", models.DateTimeField(auto_now_add=True, db_index=True)),
                (
                    "name",
                    models.CharField(
                        default=None,
                        help_text="A free-form name for the API key. Need not be unique. 50 characters max.",
                        max_length=50,
                    ),
                ),
                (
                    "revoked",
                    models.BooleanField(
                        blank=True,
                        default=False,
                        help_text="If the API key is revoked, clients cannot use it anymore. (This cannot be undone.)",
                    ),
                ),
                (
                    "expiry_date",
                    models.DateTimeField(
                        blank=True,
                        help_text="Once API key expires, clients cannot use it anymore.",
                        null=True,
                        verbose_name="Expires",
                    ),
                ),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("ingest", "Ingest: send events"),
                                ("read", "Read: usage and invoices"),
                                ("manage", "Manage: set up meters, plans, customers"),
                            ],
                            max_length=16,
                        ),
                        size=None,
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        default="api",
                        help_text="Idempotency keys are unique within a source. Keys that replace each other share it.",
                        max_length=100,
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
                "ordering": ("-created",),
                "abstract": False,
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("scopes__contained_by", ["ingest", "read", "manage"]), ("scopes__len__gte", 1)
                        ),
                        name="apikey_scopes_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Customer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        help_text="How your systems name this customer in events. It cannot be changed later.",
                        max_length=200,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$",
                                "Use letters, digits and _ . : @ + - only, beginning with a letter or digit; no spaces.",
                                code="invalid_code",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(help_text="The name printed on invoices.", max_length=200)),
                (
                    "email",
                    models.EmailField(
                        blank=True,
                        help_text="Where invoices and portal sign-in links are sent.",
                        max_length=254,
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        default="UTC",
                        help_text="Billing periods begin at midnight here.",
                        max_length=64,
                        validators=[customers.models.validate_timezone],
                        verbose_name="time zone",
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        default="USD",
                        help_text="Invoices are in this currency.",
                        max_length=3,
                        validators=[customers.models.validate_currency],
                    ),
                ),
                ("address", models.TextField(blank=True, help_text="Printed on invoices, line by line.")),
                (
                    "country",
                    models.CharField(
                        blank=True,
                        help_text="Two letters. It decides which tax is charged.",
                        max_length=2,
                        validators=[customers.countries.validate_country],
                    ),
                ),
                (
                    "region",
                    models.CharField(
                        blank=True,
                        help_text="State or province where its tax differs, as a short code: CA, QC.",
                        max_length=10,
                    ),
                ),
                (
                    "payment_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="From the day an invoice is issued until it is due. Leave empty for the usual number.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(365)],
                        verbose_name="days to pay",
                    ),
                ),
                (
                    "locale",
                    models.CharField(
                        default="en_US",
                        help_text="Of invoices and mails: en_US $1,234.50, en_GB, de_DE German and 1.234,50 $, fr_FR, ja_JP, ar_SA.",
                        max_length=16,
                        validators=[customers.models.validate_locale],
                        verbose_name="language and formats",
                    ),
                ),
                (
                    "tax_id",
                    models.CharField(
                        blank=True,
                        help_text="For example a VAT number.",
                        max_length=64,
                        verbose_name="tax ID",
                    ),
                ),
                (
                    "tax_treatment",
                    models.CharField(
                        choices=[
                            ("standard", "By country and tax ID"),
                            ("exempt", "Exempt"),
                            ("reverse_charge", "Reverse charge"),
                        ],
                        default="standard",
                        help_text="By country and tax ID: the rate of the country; reverse charge for a business in another EU country with a valid VAT number.",
                        max_length=16,
                        verbose_name="tax",
                    ),
                ),
                (
                    "tax_exempt_reason",
                    models.CharField(
                        blank=True, help_text="Printed on invoices of an exempt customer.", max_length=200
                    ),
                ),
                (
                    "bill_to",
                    models.CharField(
                        choices=[("itself", "Itself"), ("parent", "Its parent")],
                        default="itself",
                        help_text="Its parent: what its plans cost goes on one consolidated invoice of the parent, with the parent's address, tax and credits. It counts for every invoice that is not issued yet.",
                        max_length=16,
                    ),
                ),
                (
                    "traits",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Anything you want to remember about this customer, by name.",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        help_text="The customer this one belongs to, such as the head office. A parent has no parent itself.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "code"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("code", ""), _negated=True), name="customer_code_not_empty"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="customer_currency_iso"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("country", ""), ("country__regex", "^[A-Z]{2}$"), _connector="OR"
                        ),
                        name="customer_country_iso",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("tax_treatment__in", ["standard", "exempt", "reverse_charge"])),
                        name="customer_tax_treatment_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("tax_exempt_reason", ""), ("tax_treatment", "exempt"), _negated=True
                        ),
                        name="customer_exempt_with_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("parent", None),
                            models.Q(("parent", models.F("id")), _negated=True),
                            _connector="OR",
                        ),
                        name="customer_not_its_own_parent",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("bill_to", "itself"),
                            models.Q(("bill_to", "parent"), ("parent__isnull", False)),
                            _connector="OR",
                        ),
                        name="customer_billed_to_a_parent",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoricalCustomer",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "code",
                    models.CharField(
                        db_index=True,
                        help_text="How your systems name this customer in events. It cannot be changed later.",
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$",
                                "Use letters, digits and _ . : @ + - only, beginning with a letter or digit; no spaces.",
                                code="invalid_code",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(help_text="The name printed on invoices.", max_length=200)),
                (
                    "email",
                    models.EmailField(
                        blank=True,
                        help_text="Where invoices and portal sign-in links are sent.",
                        max_length=254,
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        default="UTC",
                        help_text="Billing periods begin at midnight here.",
                        max_length=64,
                        validators=[customers.models.validate_timezone],
                        verbose_name="time zone",
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        default="USD",
                        help_text="Invoices are in this currency.",
                        max_length=3,
                        validators=[customers.models.validate_currency],
                    ),
                ),
                ("address", models.TextField(blank=True, help_text="Printed on invoices, line by line.")),
                (
                    "country",
                    models.CharField(
                        blank=True,
                        help_text="Two letters. It decides which tax is charged.",
                        max_length=2,
                        validators=[customers.countries.validate_country],
                    ),
                ),
                (
                    "region",
                    models.CharField(
                        blank=True,
                        help_text="State or province where its tax differs, as a short code: CA, QC.",
                        max_length=10,
                    ),
                ),
                (
                    "payment_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="From the day an invoice is issued until it is due. Leave empty for the usual number.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(365)],
                        verbose_name="days to pay",
                    ),
                ),
                (
                    "locale",
                    models.CharField(
                        default="en_US",
                        help_text="Of invoices and mails: en_US $1,234.50, en_GB, de_DE German and 1.234,50 $, fr_FR, ja_JP, ar_SA.",
                        max_length=16,
                        validators=[customers.models.validate_locale],
                        verbose_name="language and formats",
                    ),
                ),
                (
                    "tax_id",
                    models.CharField(
                        blank=True,
                        help_text="For example a VAT number.",
                        max_length=64,
                        verbose_name="tax ID",
                    ),
                ),
                (
                    "tax_treatment",
                    models.CharField(
                        choices=[
                            ("standard", "By country and tax ID"),
                            ("exempt", "Exempt"),
                            ("reverse_charge", "Reverse charge"),
                        ],
                        default="standard",
                        help_text="By country and tax ID: the rate of the country; reverse charge for a business in another EU country with a valid VAT number.",
                        max_length=16,
                        verbose_name="tax",
                    ),
                ),
                (
                    "tax_exempt_reason",
                    models.CharField(
                        blank=True, help_text="Printed on invoices of an exempt customer.", max_length=200
                    ),
                ),
                (
                    "bill_to",
                    models.CharField(
                        choices=[("itself", "Itself"), ("parent", "Its parent")],
                        default="itself",
                        help_text="Its parent: what its plans cost goes on one consolidated invoice of the parent, with the parent's address, tax and credits. It counts for every invoice that is not issued yet.",
                        max_length=16,
                    ),
                ),
                (
                    "traits",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Anything you want to remember about this customer, by name.",
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The customer this one belongs to, such as the head office. A parent has no parent itself.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical customer",
                "verbose_name_plural": "historical customers",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="PortalAccess",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("email", models.EmailField(max_length=254)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("link_sent_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="portal_accesses",
                        to="customers.customer",
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="portal_access",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "portal accesses",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("revoked_at", None)),
                        fields=("customer", "email"),
                        name="portalaccess_one_live_per_email",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredAnswer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("source", models.CharField(help_text="Of the API key that sent it.", max_length=100)),
                ("key", models.CharField(max_length=200)),
                ("request", models.TextField(help_text="Method and address.")),
                ("fingerprint", models.CharField(help_text="SHA-256 of what was sent.", max_length=64)),
                (
                    "status",
                    models.PositiveSmallIntegerField(
                        help_text="Empty only until its transaction ends.", null=True
                    ),
                ),
                ("body", models.TextField()),
                ("made_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("source", "key"), name="storedanswer_key_once")
                ],
            },
        ),
    ]
