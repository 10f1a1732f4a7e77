"""Pricing: plans, their rates, activation, the next version, and trying a price out."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from billing.admin.break_even import BreakEvenPages
from billing.admin.examples import ExamplePages, example_rows
from billing.admin.plan_changes import ChangePages
from billing.admin.plan_forms import TERMS, PlanForm
from billing.admin.playbooks import PlaybookPages
from billing.admin.rate_preview import preview
from billing.admin.rates import KIND_TITLES, RatePages
from billing.admin.what_if import WhatIfPages
from billing.errors import BillingError
from billing.models import Plan, PlanStatus, Rate, RateKind, Subscription
from billing.pricing import activate_plan, create_version
from billing.readiness import plan_findings, readiness_problems
from billing.summaries import rate_name, rate_sentence, term_sentences
from customers.history_pages import HistoryAdmin
from customers.staff_pages import reason_of, require, say_next

STATUS_COLOURS = {PlanStatus.ACTIVE: "success", PlanStatus.DRAFT: "info", PlanStatus.DEPRECATED: "warning"}
SHOWN_CUSTOMERS = 50


@admin.register(Plan)
class PlanAdmin(
    RatePages,
    BreakEvenPages,
    ExamplePages,
    ChangePages,
    WhatIfPages,
    PlaybookPages,
    HistoryAdmin,
):
    form = PlanForm
    shows_log = True
    purpose = (
        "A plan says what usage costs. Write it as a draft, add rates, try prices out, then activate it and assign it "
        "to customers. An active plan never changes: a new price is a new version."
    )
    empty_title = "Create your first plan"
    empty_text = "A plan holds the prices, for example $2.00 per ticket resolved. You need a meter first."
    empty_link = ("admin:billing_plan_playbooks", "Start from a playbook")
    list_before_template = "admin/billing/plan/list_head.html"
    change_form_template = "admin/billing/plan/change_form.html"
    list_display = (
        "plan_name",
        "status_badge",
        "currency",
        "billing_period",
        "rates_in_words",
        "customer_count",
    )
    list_filter = ("status", "currency", "billing_period")
    search_fields = ("name", "code", "description")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        today = timezone.now().date()
        running = Q(subscriptions__end_on=None) | Q(subscriptions__end_on__gt=today)
        rates = Prefetch("rates", Rate.objects.select_related("meter"))
        plans: QuerySet[Plan] = super().get_queryset(request)
        return plans.prefetch_related(rates).annotate(
            customers=Count("subscriptions__customer", filter=running, distinct=True)
        )

    @display(description="Plan", ordering="name")
    def plan_name(self, plan: Plan) -> str:
        return f"{plan.name}, version {plan.version}"

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def status_badge(self, plan: Plan) -> tuple[str, str]:
        return plan.status, plan.get_status_display()

    @display(description="Rates")
    def rates_in_words(self, plan: Plan) -> str:
        sentences = [f"{rate_name(rate)}: {rate_sentence(rate, plan)}" for rate in plan.rates.all()]
        return " · ".join(sentences) or "no rates yet"

    @display(description="Customers", ordering="customers")
    def customer_count(self, plan: Any) -> int:
        return int(plan.customers)

    def get_fieldsets(self, request: HttpRequest, obj: Plan | None = None) -> Any:
        return [
            (
                "Plan" if obj else None,
                {"fields": ("name", "code", "billing_period", "currency", "description")},
            ),
            ("For the whole invoice", {"fields": TERMS, "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> Any:
        return ("code",) if obj is not None and obj.version > 1 else ()

    def has_change_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        if obj is not None and obj.is_frozen:
            return False
        return bool(super().has_change_permission(request, obj))

    def response_add(
        self, request: HttpRequest, obj: Plan, post_url_continue: str | None = None
    ) -> HttpResponse:
        say_next(
            request,
            f"{obj.name} is a draft.",
            url=f"{reverse('admin:billing_plan_rate_add', args=[obj.pk])}?kind=usage",
            text="Now add a usage-based rate",
        )
        return redirect("admin:billing_plan_change", obj.pk)

    def response_change(self, request: HttpRequest, obj: Plan) -> HttpResponse:
        messages.success(request, f"{obj.name} is saved.")
        return redirect("admin:billing_plan_change", obj.pk)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        plan: Plan | None = kwargs.get("obj")
        if plan is not None:
            context |= self._overview(request, plan)
        return super().render_change_form(request, context, *args, **kwargs)

    def _overview(self, request: HttpRequest, plan: Plan) -> dict[str, Any]:
        rates, examples = list(plan.rates.select_related("meter")), example_rows(plan)
        subscriptions = Subscription.objects.filter(plan=plan).select_related("customer")
        may_write = plan.status == PlanStatus.DRAFT and request.user.has_perm("billing.change_plan")
        return {
            "plan": plan,
            "rates": [
                {"rate": rate, "name": rate_name(rate), "words": rate_sentence(rate, plan),
                 "kind": rate.get_kind_display(), "editable": may_write}
                for rate in rates
            ],
            "kinds": KIND_TITLES.items(),
            "examples": examples,
            "examples_fail": any(not each["passes"] for each in examples),
            "may_write": may_write,
            "problems": readiness_problems(plan) if plan.status == PlanStatus.DRAFT else [],
            "customers": subscriptions.order_by("customer__name", "start_on")[:SHOWN_CUSTOMERS],
            "customer_total": subscriptions.count(),
            "versions": Plan.objects.filter(code=plan.code).exclude(pk=plan.pk).order_by("-version"),
            "can_price": any(rate.kind == RateKind.USAGE for rate in rates),
        }  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/activate/", wrap(self.activate_view), name="billing_plan_activate"),
            path("<int:pk>/version/", wrap(self.version_view), name="billing_plan_version"),
            path("<int:pk>/price/", wrap(self.price_view), name="billing_plan_price"),
            path("<int:pk>/discard/", wrap(self.discard_view), name="billing_plan_discard"),
        ]
        return [
            *own,
            *self.rate_urls(),
            *self.break_even_urls(),
            *self.example_urls(),
            *self.change_urls(),
            *self.what_if_urls(),
            *self.playbook_urls(),
            *super().get_urls(),
        ]

    def activate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what freezes, then freeze it."""
        require(request, "billing.view_plan", "billing.activate_plan")
        plan = get_object_or_404(Plan, pk=pk)
        if request.method == "POST":
            accept = [code for code in request.POST.getlist("accept") if code.isprintable()]
            reason, problem = reason_of(request, most=500)
            if accept and not reason:
                problem = problem or "Say why it is meant so: whoever reads this plan later will ask."
            if problem:
                messages.error(request, problem)
                return redirect("admin:billing_plan_activate", pk)
            try:
                plan = activate_plan(plan, now=timezone.now(), accept=accept)
            except BillingError as refused:
                messages.error(request, refused.message)
                return redirect("admin:billing_plan_change", pk)
            accepted = ", ".join(sorted(set(accept)))
            self.log_change(
                request, plan, f"Activated. Meant so ({accepted}): {reason}" if accept else "Activated."
            )
            messages.success(request, f"{plan} is active and can be assigned to customers.")
            say_next(
                request,
                "Next:",
                url=reverse("admin:customers_customer_changelist"),
                text="assign it to a customer",
            )
            return redirect("admin:billing_plan_change", pk)
        replaced = Plan.objects.filter(code=plan.code, status=PlanStatus.ACTIVE).first()
        staying = Subscription.objects.filter(plan=replaced).count() if replaced else 0
        problems, examples, findings = (
            readiness_problems(plan),
            example_rows(plan),
            plan_findings(plan, now=timezone.now(), measured=True),
        )
        failing = [each for each in examples if not each["passes"]]
        return self.page(
            request, "admin/billing/plan/activate.html", title=f"Activate {plan}?", plan=plan,
            problems=problems, replaced=replaced, staying=staying, terms=term_sentences(plan),
            examples=examples, failing=failing, findings=findings, blocked=bool(problems or failing),
            asks_reason=any(each.finding.blocks for each in findings),
            rates=[(rate_name(rate), rate_sentence(rate, plan)) for rate in plan.rates.select_related("meter")],
        )  # fmt: skip

    def version_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Copy a frozen version to a draft."""
        require(request, "billing.add_plan")
        plan = get_object_or_404(Plan, pk=pk)
        if request.method == "POST":
            try:
                copy = create_version(plan)
            except BillingError as refused:
                messages.error(request, refused.message)
                return redirect("admin:billing_plan_change", pk)
            self.log_addition(request, copy, f"Copied from version {plan.version}.")
            messages.success(
                request,
                f"Version {copy.version} is a draft with the same rates. Change what is new, then activate it.",
            )
            return redirect("admin:billing_plan_change", copy.pk)
        return self.page(
            request, "admin/billing/plan/version.html", title=f"New version of {plan.name}?", plan=plan
        )

    def discard_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Throw a draft away. Only a draft can be: nobody was ever billed by it."""
        require(request, "billing.change_plan")
        plan = get_object_or_404(Plan, pk=pk)
        if plan.is_frozen:
            messages.error(
                request, f"{plan} is {plan.get_status_display().lower()}: it stays, because invoices name it."
            )
            return redirect("admin:billing_plan_change", pk)
        if request.method == "POST":
            self.log_deletions(request, [plan])
            name = str(plan)
            plan.delete()
            messages.success(request, f"The draft {name} is gone.")
            return redirect("admin:billing_plan_changelist")
        return self.page(
            request, "admin/billing/plan/discard.html", title=f"Discard the draft {plan}?", plan=plan
        )

    def price_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what a quantity costs, by the same function that invoices use. `part` answers the preview alone."""
        require(request, "billing.view_plan")
        plan = get_object_or_404(Plan, pk=pk)
        rates = list(plan.rates.select_related("meter"))
        wanted = request.GET.get("rate", "")
        chosen = next((rate for rate in rates if str(rate.pk) == wanted), rates[0] if rates else None)
        shown = None if chosen is None else preview(chosen, plan, request.GET)
        if "part" in request.GET:
            return TemplateResponse(request, "admin/billing/plan/rate_preview.html", {"preview": shown})
        return self.page(
            request, "admin/billing/plan/price.html", title=f"Preview a price of {plan}", plan=plan,
            rates=[(rate.pk, rate_name(rate)) for rate in rates], chosen=chosen, preview=shown,
            purpose="Nothing is written. The amount comes from the function that makes invoices.",
        )  # fmt: skip
