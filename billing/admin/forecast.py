"""The page of the forecast: what running periods may still come to, of all customers, for each outcome meter."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.admin.remembering import of_month
from billing.forecasting import PRICED_AT_MOST, Forecast, WholeForecast, forecast_of_all
from billing.formatting import money, quantity_of
from customers.staff_pages import StaffAdmin, require


class ForecastPages(StaffAdmin):
    """Adds the page of the forecast to the admin of outcomes. The dashboard shows its table, fetched after the page."""

    def forecast_urls(self) -> list[URLPattern]:
        return [
            path("forecast/", self.admin_site.admin_view(self.forecast_view), name="billing_outcome_forecast")
        ]

    def forecast_view(self, request: HttpRequest) -> HttpResponse:
        """Show the forecast of every outcome meter that a running plan prices, at most five minutes old."""
        require(request, "billing.view_outcome")
        now = timezone.now()
        known = of_month("forecast", now.date(), "", now, partial(forecast_of_all, now=now))
        return self.page(
            request, "admin/billing/outcome/forecast.html", title="Forecast of outcomes", as_of=known.as_of,
            forecasts=[whole_words(each) for each in known.figures],
            without_money=sum(each.customers for each in known.figures) > PRICED_AT_MOST,
            purpose="What the running billing periods of your customers may come to: at least what settled so far, at "
            "most that and everything pending, and expected by the share that was reversed in the year before.",
        )  # fmt: skip


def forecast_words(each: Forecast | WholeForecast) -> dict[str, Any]:
    """Give quantities in words and a bar of how far the range reaches."""
    least, expected, most, pending = (
        quantity_of(round(value, 1).normalize(), each.meter.unit)
        for value in (each.least, each.expected, each.most, each.pending)
    )
    return {
        "forecast": each,
        "least": least,
        "expected": expected,
        "most": most,
        "pending": pending,
        "bar": range_bar(each.least, each.expected, each.most),
    }


def whole_words(each: WholeForecast) -> dict[str, Any]:
    amounts = [
        tuple(money(value, currency) for value in values) for currency, values in sorted(each.amounts.items())
    ]
    return forecast_words(each) | {"amounts": amounts}


def range_bar(least: Decimal, expected: Decimal, most: Decimal) -> SafeString:
    """Draw what settled, what is expected and what may come at most, as shares of the most."""
    if most <= 0:
        return format_html("{}", "")
    settled, likely = (
        f"{min(max(value, Decimal(0)) * 100 / most, Decimal(100)):.1f}" for value in (least, expected)
    )
    return format_html(
        '<svg class="rk-range" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rk-most" width="100" height="8" rx="1" /><rect class="rk-likely" width="{}" height="8" rx="1" />'
        '<rect class="rk-settled" width="{}" height="8" rx="1" /></svg>',
        likely, settled,
    )  # fmt: skip
