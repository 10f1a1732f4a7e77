"""Coupons that can be given to customers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from billing.admin.choices import currency_choices
from billing.balances import coupon_words
from billing.couponing import AGREED, CouponTerms, archive_coupon, check_coupon, rate_choices, save_coupon
from billing.errors import InvalidCoupon
from billing.models import Coupon, Plan
from customers.code_forms import CodeForm
from customers.history_pages import HistoryAdmin
from customers.staff_pages import put_errors, require


def plan_choices() -> list[tuple[str, str]]:
    return list(Plan.objects.order_by("name", "code").values_list("code", "name").distinct())


class CouponForm(CodeForm):
    plan_codes = forms.MultipleChoiceField(
        label="Plans", required=False, choices=plan_choices, widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="In any version. None chosen: all plans.",
    )  # fmt: skip
    rates = forms.MultipleChoiceField(
        label="Lines", required=False, choices=rate_choices, widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None chosen: the whole invoice.",
    )  # fmt: skip

    class Meta:
        model = Coupon
        fields = tuple(CouponTerms.__dataclass_fields__)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "currency" in self.fields:
            self.fields["currency"] = forms.ChoiceField(
                required=False, choices=[("", "None: a percentage"), *currency_choices()],
                widget=UnfoldAdminSelectWidget, help_text="Of a fixed amount.",
            )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Refuse by field what the service would refuse, before anything is written."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        current = {name: getattr(self.instance, name) for name in CouponTerms.__dataclass_fields__}
        self.terms = CouponTerms(**{name: _tuple(value) for name, value in (current | cleaned).items()})
        stored = Coupon.objects.get(pk=self.instance.pk) if self.instance.pk else None
        try:
            check_coupon(self.terms, coupon=stored)
        except InvalidCoupon as refused:
            put_errors(self, refused.fields, message=refused.message)
        return cleaned


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("archived", "archived"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        first, *rest = super().choices(changelist)
        yield {**first, "display": "not archived"}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: QuerySet[Coupon]) -> QuerySet[Coupon]:
        match self.value():
            case "all":
                return queryset
            case "archived":
                return queryset.exclude(archived_at=None)
        return queryset.filter(archived_at=None)


@admin.register(Coupon)
class CouponAdmin(HistoryAdmin):
    form = CouponForm
    shows_log = True
    purpose = (
        "A coupon takes a percentage or an amount off invoices, before tax. Make it here, then give it to customers on "
        "their pages."
    )
    empty_title = "No coupons yet"
    empty_text = "Make a coupon, such as 10 % off the first invoice."
    change_form_template = "admin/billing/coupon/change_form.html"
    list_display = ("name", "code", "takes_off", "lasts", "is_for", "held_by")
    list_filter = (StateFilter, "kind", "duration")
    search_fields = ("name", "code")
    fieldsets = (
        (None, {"fields": ("name", "code", ("kind", "value"), "currency", ("duration", "invoices"))}),
        ("What it is for", {"fields": ("plan_codes", "rates")}),
        ("Who can have it", {"fields": (("valid_from", "valid_until"), "max_redemptions")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Coupon]:
        rows: QuerySet[Coupon] = super().get_queryset(request)
        return rows.annotate(held=Count("given", filter=Q(given__removed_at=None)))

    @display(description="Takes off", ordering="value")
    def takes_off(self, coupon: Coupon) -> str:
        return coupon_words(coupon)

    @display(description="Lasts")
    def lasts(self, coupon: Coupon) -> str:
        limit = coupon.limit
        return "every invoice" if limit is None else "one invoice" if limit == 1 else f"{limit} invoices"

    @display(description="For")
    def is_for(self, coupon: Coupon) -> str:
        return ", ".join([*coupon.plan_codes, *coupon.rates]) or "everything"

    @display(description="Held by", ordering="held")
    def held_by(self, coupon: Any) -> str:
        most = f" of {coupon.max_redemptions}" if coupon.max_redemptions else ""
        return f"{coupon.held}{most} customer{'' if coupon.held == 1 and not most else 's'}"

    def get_readonly_fields(self, request: HttpRequest, obj: Coupon | None = None) -> Any:
        if obj is None:
            return ()
        return AGREED if obj.given.exists() else ("code",)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"kind": "percent", "duration": "once"} | super().get_changeform_initial_data(request)

    def save_model(self, request: HttpRequest, obj: Coupon, form: Any, change: bool) -> None:
        obj.pk = save_coupon(form.terms, coupon=obj if change else None).pk

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        coupon: Coupon | None = kwargs.get("obj")
        if coupon is not None:
            context |= {"coupon": coupon, "held": coupon.given.filter(removed_at=None).count()}
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [path("<int:pk>/archive/", wrap(self.archive_view), name="billing_coupon_archive")]
        return [*own, *super().get_urls()]

    def archive_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "billing.change_coupon")
        coupon = get_object_or_404(Coupon, pk=pk)
        if request.method == "POST":
            archive_coupon(coupon, now=timezone.now())
            self.log_change(request, coupon, "Archived.")
            messages.success(request, f"{coupon.name} can no longer be given.")
            return redirect("admin:billing_coupon_changelist")
        return self.page(
            request, "admin/billing/coupon/archive.html", title=f"Archive “{coupon.name}”?", coupon=coupon
        )
