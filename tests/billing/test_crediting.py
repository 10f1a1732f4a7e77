"""Credits: which are used first, when they end, and a ledger that always adds up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum

from billing.closing import close_period
from billing.crediting import CreditTerms, balances, expire_credits, grant_credit, void_grant
from billing.errors import CreditNotVoidable, CreditsSpent, InvalidCredit
from billing.models import CreditEntry, CreditGrant, Invoice, Subscription
from billing.months import Month
from billing.previewing import preview_invoice
from billing.spending import return_credits
from metering.correcting import void_event
from metering.models import Event
from metering.periods import month_period
from tests.billing.money import cents, credit, sums
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
OCTOBER = Month(2026, 10)
FEE = {"kind": "subscription", "label": "Base fee", "amount": "100.00", "timing": "in_arrears"}
DAY = timedelta(days=1)


def subscribed(amount: str = "100.00", **fields: object) -> Subscription:
    plan = make_plan(FEE | {"amount": amount}, currency=fields.get("currency", "USD"))
    return make_subscription(make_customer(**fields), plan, start_on=date(2026, 9, 1))


def close(month: Month = OCTOBER, *, now: datetime = NOW) -> Invoice:
    close_period(month, now=now, grace_days=0)
    return Invoice.objects.get(period_start=month.first)


def ledger(grant: CreditGrant) -> list[tuple[str, str]]:
    return [(each.kind, cents(each.amount)) for each in grant.entries.order_by("id")]


def assert_ledger_adds_up() -> None:
    for grant in CreditGrant.objects.annotate(sum=Sum("entries__amount")):
        assert grant.balance == grant.sum
        assert 0 <= grant.balance <= grant.amount
    for invoice in Invoice.objects.exclude(status="draft"):
        kinds = ("applied", "granted")
        taken = CreditEntry.objects.filter(invoice=invoice, kind__in=kinds).aggregate(sum=Sum("amount"))
        assert invoice.credits_applied == -(taken["sum"] or 0)


def test_low_priority_then_soonest_expiry_then_oldest_is_used_first() -> None:
    customer = subscribed("60.00").customer
    late = NOW + 90 * DAY
    grants = [
        credit(customer, "20", name="old, never expires", now=NOW - 9 * DAY),
        credit(customer, "20", name="expires late", expires_at=late, now=NOW - 5 * DAY),
        credit(customer, "20", name="expires soon", expires_at=NOW + DAY, now=NOW - DAY),
        credit(customer, "20", name="expires late, older", expires_at=late, now=NOW - 6 * DAY),
        credit(customer, "5", name="first of all", priority=1, now=NOW - DAY),
    ]
    invoice = close()
    used = CreditEntry.objects.filter(invoice=invoice).order_by("id").values_list("grant__name", "amount")
    assert [(name, cents(-amount)) for name, amount in used] == [
        ("first of all", "5.00"),
        ("expires soon", "20.00"),
        ("expires late, older", "20.00"),
        ("expires late", "15.00"),
    ]
    assert invoice.amount_due == 0
    grants[0].refresh_from_db()
    assert cents(grants[0].balance) == "20.00"
    assert_ledger_adds_up()


@pytest.mark.parametrize(
    "terms",
    [
        {"effective_at": NOW + DAY},
        {"expires_at": NOW - DAY, "now": NOW - 5 * DAY},
        {"currency": "EUR"},
    ],
)
def test_a_credit_not_yet_effective_expired_or_in_another_currency_pays_nothing(
    terms: dict[str, object],
) -> None:
    credit(subscribed().customer, "50", **terms)
    assert sums(close()) == {"subtotal": "100.00", "total": "100.00", "amount_due": "100.00"}
    assert_ledger_adds_up()


@pytest.mark.parametrize(
    ("currency", "fee", "amount", "due"),
    [("JPY", "1000", "300", "700"), ("KWD", "10.125", "3.001", "7.124"), ("USD", "0.05", "0.04", "0.01")],
)
def test_credits_are_exact_in_every_currency(currency: str, fee: str, amount: str, due: str) -> None:
    customer = subscribed(fee, currency=currency).customer
    credit(customer, amount)
    invoice = close()
    assert (invoice.credits_applied, invoice.amount_due) == (Decimal(amount), Decimal(due))


def test_a_credit_lasts_over_several_invoices() -> None:
    customer = subscribed().customer
    grant = credit(customer, "150")
    assert close(Month(2026, 9)).amount_due == 0
    assert cents(close().amount_due) == "50.00"
    assert ledger(grant) == [("granted", "150.00"), ("applied", "-100.00"), ("applied", "-50.00")]
    assert balances(customer, now=NOW) == {}


def test_two_invoices_of_one_close_share_a_balance() -> None:
    subscription = subscribed()
    make_subscription(
        subscription.customer, make_plan(FEE | {"label": "More"}, code="more"), start_on=date(2026, 10, 1)
    )
    credit(subscription.customer, "150")
    close_period(OCTOBER, now=NOW, grace_days=0)
    assert sorted(cents(each.amount_due) for each in Invoice.objects.all()) == ["0.00", "50.00"]
    assert_ledger_adds_up()


def test_what_is_left_expires_and_part_of_it_rolls_over() -> None:
    customer = make_customer()
    until = NOW + 30 * DAY
    grant = credit(customer, "100", expires_at=until, rollover_limit=Decimal(30), rollover_days=60)
    assert expire_credits(now=until - DAY) == 0
    assert expire_credits(now=until + DAY) == 1
    assert ledger(grant) == [("granted", "100.00"), ("expired", "-70.00"), ("rolled_over", "-30.00")]
    rolled = CreditGrant.objects.get(rolled_from=grant)
    assert (rolled.amount, rolled.balance, rolled.effective_at) == (30, 30, until)
    assert rolled.expires_at == until + 60 * DAY
    assert expire_credits(now=until + DAY) == 0
    assert balances(customer, now=until + DAY) == {"USD": Decimal(30)}
    assert_ledger_adds_up()


def test_what_rolls_over_pays_an_invoice_also_when_nothing_has_expired_it_yet() -> None:
    subscription = subscribed()
    credit(subscription.customer, "100", expires_at=NOW - DAY, rollover_limit=Decimal(30), now=NOW - 9 * DAY)
    draft = preview_invoice(subscription, period=month_period(2026, 10, "UTC"), now=NOW)
    assert cents(draft.credits_applied) == "30.00"
    assert cents(close().credits_applied) == "30.00"
    assert_ledger_adds_up()


def test_a_credit_is_voided_with_its_reason_and_what_was_used_stays_used() -> None:
    grant = credit(subscribed("40.00").customer, "100")
    invoice = close()
    with pytest.raises(InvalidCredit, match="Say why"):
        void_grant(grant, reason=" ", by="tests", now=NOW)
    void_grant(grant, reason="Given by mistake", by="Bea", now=NOW)
    assert ledger(grant) == [("granted", "100.00"), ("applied", "-40.00"), ("voided", "-60.00")]
    last = grant.entries.get(kind="voided")
    assert (last.reason, last.by) == ("Given by mistake", "Bea")
    invoice.refresh_from_db()
    assert cents(invoice.credits_applied) == "40.00"
    for again in ("x", "y"):
        with pytest.raises(CreditNotVoidable):
            void_grant(grant, reason=again, by="tests", now=NOW)


def negative_invoice() -> tuple[Subscription, Invoice]:
    """Fifty tickets of October are billed, 100.00, and all taken back in November."""
    make_meter()
    subscription = make_subscription(make_customer(), make_plan(TICKETS))
    send(*(event(f"e{n}") for n in range(50)))
    close()
    for row in Event.objects.all():
        void_event(row, reason="counted in error", by="tests", now=NOW)
    return subscription, close(Month(2026, 11), now=datetime(2026, 12, 5, tzinfo=UTC))


def test_a_total_below_zero_becomes_a_credit_and_nothing_is_due() -> None:
    subscription, invoice = negative_invoice()
    assert sums(invoice) == {"subtotal": "-100.00", "total": "-100.00", "credits_applied": "-100.00"}
    grant = CreditGrant.objects.get()
    assert (grant.kind, grant.name, grant.balance) == (
        "carried_over",
        f"Carried over from {invoice.number}",
        100,
    )
    send(
        *(event(f"n{n}", occurred_at="2026-12-01T00:00:00Z") for n in range(60)),
        now=datetime(2026, 12, 5, tzinfo=UTC),
    )
    now = datetime(2027, 1, 5, tzinfo=UTC)
    draft = preview_invoice(subscription, period=month_period(2026, 12, "UTC"), now=now)
    following = close(Month(2026, 12), now=now)
    assert sums(following) == {
        "subtotal": "120.00", "total": "120.00", "credits_applied": "100.00", "amount_due": "20.00",
    }  # fmt: skip
    assert draft.amount_due == following.amount_due
    assert_ledger_adds_up()


def test_a_void_invoice_gives_its_credits_back_to_the_grants_they_came_from() -> None:
    customer = subscribed().customer
    kept, expired, voided = (
        credit(customer, "20", name="kept", priority=1),
        credit(customer, "30", name="expired", priority=2, expires_at=NOW + 10 * DAY),
        credit(customer, "60", name="voided", priority=3),
    )
    invoice = close()
    void_grant(voided, reason="mistake", by="tests", now=NOW)
    later = NOW + 20 * DAY
    for _ in range(2):
        with transaction.atomic():
            return_credits(invoice, by="tests", now=later)
    assert ledger(kept) == [("granted", "20.00"), ("applied", "-20.00"), ("returned", "20.00")]
    assert ledger(expired)[1:] == [("applied", "-30.00"), ("returned", "30.00"), ("rolled_over", "-30.00")]
    assert ledger(voided)[2:] == [("voided", "-10.00"), ("returned", "50.00"), ("voided", "-50.00")]
    fresh = CreditGrant.objects.get(rolled_from=expired)
    assert (fresh.balance, fresh.expires_at) == (30, later + 10 * DAY)
    assert balances(customer, now=later) == {"USD": Decimal(50)}


def test_the_credit_that_an_invoice_became_goes_with_it_unless_it_is_used() -> None:
    subscription, invoice = negative_invoice()
    later = datetime(2026, 12, 6, tzinfo=UTC)
    with transaction.atomic():
        return_credits(invoice, by="tests", now=later)
        assert balances(subscription.customer, now=later) == {}
        transaction.set_rollback(True)
    send(event("n", occurred_at="2026-12-01T00:00:00Z"), now=later)
    close(Month(2026, 12), now=datetime(2027, 1, 5, tzinfo=UTC))
    with pytest.raises(CreditsSpent), transaction.atomic():
        return_credits(invoice, by="tests", now=datetime(2027, 1, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE billing_creditentry SET amount = 5", "only grows"),
        ("DELETE FROM billing_creditentry", "only grows"),
        ("UPDATE billing_creditgrant SET balance = 5", "sum of its ledger"),
        ("UPDATE billing_creditgrant SET amount = 500", "cannot be changed"),
        ("DELETE FROM billing_creditgrant", "only voided"),
        ("UPDATE billing_creditgrant SET voided_at = now(), void_reason = 'x'", "creditgrant_void_is_empty"),
        (
            "INSERT INTO billing_creditentry (grant_id, kind, amount, at, reason, by)"
            " SELECT id, 'voided', -100.01, now(), '', '' FROM billing_creditgrant",
            "creditgrant_balance_in_range",
        ),
        (
            "INSERT INTO billing_creditentry (grant_id, kind, amount, at, reason, by)"
            " SELECT id, 'granted', 1, now(), '', '' FROM billing_creditgrant",
            "creditentry_granted_once|creditgrant_balance_in_range",
        ),
        (
            "INSERT INTO billing_creditentry (grant_id, kind, amount, at, reason, by)"
            " SELECT id, 'voided', 5, now(), '', '' FROM billing_creditgrant",
            "creditentry_signed_by_kind",
        ),
    ],
)
def test_the_database_holds_the_ledger(statement: str, words: str) -> None:
    credit(make_customer(), "100")
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match=words), transaction.atomic():
        cursor.execute(statement)
    assert_ledger_adds_up()


def test_a_credit_of_another_customer_cannot_pay_an_invoice() -> None:
    subscribed()
    invoice = close()
    other = credit(make_customer("other"), "100")
    with pytest.raises(DatabaseError, match="another customer"), transaction.atomic():
        CreditEntry.objects.create(grant=other, kind="applied", amount=-1, invoice=invoice, at=NOW)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"amount": Decimal(0)}, "amount"),
        ({"amount": Decimal("1.001")}, "amount"),
        ({"currency": "XXX"}, "currency"),
        ({"name": " "}, "name"),
        ({"kind": "carried_over"}, "kind"),
        ({"priority": -1}, "priority"),
        ({"expires_at": NOW}, "expires_at"),
        ({"effective_at": NOW + DAY, "expires_at": NOW + DAY}, "expires_at"),
        ({"rollover_limit": Decimal(5)}, "rollover_limit"),
        ({"rollover_days": 5, "expires_at": NOW + DAY}, "rollover_limit"),
        ({"rollover_limit": Decimal(5), "rollover_days": 0, "expires_at": NOW + DAY}, "rollover_days"),
    ],
)
def test_terms_that_make_no_sense_are_named_and_nothing_is_written(
    terms: dict[str, object], field: str
) -> None:
    sent = {"amount": Decimal(10), "currency": "USD", "name": "Welcome"} | terms
    with pytest.raises(InvalidCredit) as refused:
        grant_credit(make_customer(), CreditTerms(**sent), by="tests", now=NOW)
    assert list(refused.value.fields) == [field]
    assert not CreditGrant.objects.exists()


def test_a_balance_is_the_customers_own_and_of_what_can_be_used_now() -> None:
    """5.00 now, 7.00 from tomorrow, 9.00 until yesterday's end; another customer's 11.00 is not in it."""
    acme, globex = make_customer(), make_customer("globex")
    credit(acme, "5.00")
    credit(acme, "7.00", effective_at=NOW + DAY)
    credit(acme, "9.00", now=NOW - 2 * DAY, expires_at=NOW)
    credit(globex, "11.00")
    assert balances(acme, now=NOW) == {"USD": Decimal(5)}
    assert balances(acme, now=NOW + DAY) == {"USD": Decimal(12)}
    assert balances(globex, now=NOW) == {"USD": Decimal(11)}
