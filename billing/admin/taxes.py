"""Tax: rates by country, the seller's own country, common rates to begin with."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.choices import country_choices
from billing.errors import InvalidTaxRate
from billing.models import TaxCategory, TaxRate, TaxSetup
from billing.tax_setup import check_tax_rate, load_presets, preset_countries, save_tax_rate
from customers.countries import country_name
from customers.history_pages import HistoryAdmin
from customers.models import Customer
from customers.staff_pages import put_errors, require


class TaxRateForm(forms.ModelForm):
    class Meta:
        model = TaxRate
        fields = (
            "country", "region", "category", "name", "percent", "inclusive", "on_top", "valid_from", "valid_until",
            "source",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "country" in self.fields:
            self.fields["country"] = forms.ChoiceField(
                choices=[("", "Choose a country"), *country_choices()], widget=UnfoldAdminSelectWidget
            )
            self.fields["category"] = forms.ChoiceField(
                choices=[each for each in TaxCategory.choices if each[0] != TaxCategory.EXEMPT],
                widget=UnfoldAdminSelectWidget,
                help_text="A category without a rate of its own is taxed as standard.",
            )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                check_tax_rate(cleaned, rate=self.instance)
            except InvalidTaxRate as refused:
                put_errors(self, refused.fields, message=refused.message)
        return cleaned


class SetupForm(forms.Form):
    seller_country = forms.ChoiceField(
        label="Your country", required=False, choices=lambda: [("", "Not said"), *country_choices()],
        widget=UnfoldAdminSelectWidget,
        help_text="Inside the EU, businesses in other member states with a valid VAT number get reverse charge.",
    )  # fmt: skip
    reverse_charge_sentence = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget,
        help_text="Printed on invoices where the customer owes the tax.",
    )  # fmt: skip


@admin.register(TaxRate)
class TaxRateAdmin(HistoryAdmin):
    form = TaxRateForm
    purpose = (
        "Which tax customers pay, by their country. A country without a rate is not taxed: set up those in which you "
        "collect tax. Issued invoices keep the tax they were issued with."
    )
    empty_title = "No tax is charged yet"
    empty_text = "Choose your country and the rates to begin with, or add a rate."
    list_before_template = "admin/billing/taxrate/list_head.html"
    list_display = ("country_shown", "region", "category", "name", "percentage", "how", "days", "source")
    list_filter = ("category", "country")
    search_fields = ("country", "region", "name")

    @display(description="Country", ordering="country")
    def country_shown(self, rate: TaxRate) -> str:
        return country_name(rate.country)

    @display(description="Percent", ordering="percent")
    def percentage(self, rate: TaxRate) -> str:
        return f"{rate.percent.normalize():f} %"

    @display(description="How")
    def how(self, rate: TaxRate) -> str:
        if rate.on_top:
            return "beside the country's"
        return "inside prices" if rate.inclusive else "added"

    @display(description="Holds")
    def days(self, rate: TaxRate) -> str:
        until = f" until before {rate.valid_until:%-d %b %Y}" if rate.valid_until else ""
        return f"from {rate.valid_from:%-d %b %Y}{until}"

    def save_model(self, request: HttpRequest, obj: TaxRate, form: Any, change: bool) -> None:
        obj.pk = save_tax_rate(form.cleaned_data, rate=obj if change else None).pk

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [path("setup/", wrap(self.setup_view), name="billing_taxrate_setup"), *super().get_urls()]

    def setup_view(self, request: HttpRequest) -> HttpResponse:
        """Say where the seller is and take over common rates of chosen countries."""
        require(request, "billing.view_taxrate", "billing.change_taxsetup", "billing.add_taxrate")
        setup = TaxSetup.objects.first() or TaxSetup()
        presets = preset_countries()
        initial = {
            "seller_country": setup.seller_country,
            "reverse_charge_sentence": setup.reverse_charge_sentence,
        }
        form = SetupForm(request.POST or None, initial=initial)
        chosen = [code for code in request.POST.getlist("countries") if code in presets]
        if request.method == "POST" and form.is_valid():
            setup.seller_country = form.cleaned_data["seller_country"]
            setup.reverse_charge_sentence = form.cleaned_data["reverse_charge_sentence"]
            setup.save()
            added = load_presets(chosen)
            messages.success(request, f"Saved. {added} rate{'' if added == 1 else 's'} added.")
            return redirect("admin:billing_taxrate_changelist")
        taken = set(TaxRate.objects.values_list("country", flat=True))
        rows = [
            {
                "code": code,
                "name": country_name(code),
                "taken": code in taken,
                "rates": ", ".join(_preset_words(each) for each in rates),
                "source": rates[0].source,
            }
            for code, rates in presets.items()
        ]
        missing = Customer.objects.filter(country="", archived_at=None).count() if taken else 0
        return self.page(
            request, "admin/billing/taxrate/setup.html", title="Tax set-up", form=form, rows=rows, chosen=chosen,
            missing=missing, media=self.media + form.media,
            purpose="Where you are, and common rates to begin with.",
        )  # fmt: skip


def _preset_words(preset: Any) -> str:
    where = f" in {preset.region}" if preset.region else ""
    reduced = " reduced" if preset.category == "reduced" else ""
    return f"{preset.name} {preset.percent} %{reduced}{where}"
