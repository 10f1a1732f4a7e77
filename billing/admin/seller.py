"""Who bills, as documents and the portal show it: what the environment says, and the logo, which is uploaded here."""

from __future__ import annotations

import base64
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone

from billing.errors import BillingError
from billing.logos import MOST_UPLOADED, put_logo, remove_logo
from billing.models import Logo, Seller
from customers.staff_pages import StaffAdmin, log_of, put_errors, require

PRINTED = {
    "name": "Name",
    "address": "Address",
    "email": "E-mail",
    "tax_id": "Tax ID",
    "payment": "How to pay",
    "terms": "Terms",
}


def unnamed_seller() -> str:
    """Give the name that stands in for the seller's while nobody has set one, else nothing."""
    name: str = settings.ISSUER["name"]
    return name if name == settings.ISSUER_UNNAMED else ""


class LogoForm(forms.Form):
    logo = forms.FileField(
        label="Picture",
        widget=forms.FileInput({"accept": "image/png,image/jpeg"}),
        help_text="PNG or JPEG, at most 2 MB; about 1,200 by 400 pixels is sharp in print. "
        "Documents print it at most 60 mm wide and 18 mm high.",
    )

    def clean_logo(self) -> Any:
        logo = self.cleaned_data["logo"]
        if logo.size > MOST_UPLOADED:
            raise forms.ValidationError("The file is larger than 2 MB. Save the logo smaller.")
        return logo


@admin.register(Seller)
class SellerAdmin(StaffAdmin):
    """One page that shows, and one that uploads or removes the logo."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.show_view), name="billing_seller_changelist"),
            path("logo/", wrap(self.logo_view), name="billing_seller_logo"),
        ]

    def show_view(self, request: HttpRequest) -> HttpResponse:
        """Show who bills, as new documents say it."""
        require(request, "billing.view_seller")
        seller = Seller.objects.select_related("logo").first()
        return self.page(
            request, "admin/billing/seller/show.html", title="Seller", **_shown(seller),
            printed=[
                (label, f"ISSUER_{name.upper()}", settings.ISSUER.get(name, "")) for name, label in PRINTED.items()
            ],
            unnamed=unnamed_seller(), from_file=bool(settings.ISSUER_LOGO), log=log_of(seller) if seller else [],
            purpose="Who bills: the head and foot of invoices, credit notes and statements, and of the portal.",
        )  # fmt: skip

    def logo_view(self, request: HttpRequest) -> HttpResponse:
        """Upload a logo, or remove the one there is. Documents that exist keep theirs."""
        require(request, "billing.view_seller", "billing.change_seller")
        form = LogoForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and "remove" in request.POST:
            if remove_logo():
                self._log(request, "Removed the logo.")
                messages.success(request, "New documents show no logo. Those that exist keep theirs.")
            return redirect("admin:billing_seller_changelist")
        if request.method == "POST":
            form = LogoForm(request.POST, request.FILES)
            if form.is_valid():
                try:
                    changed = put_logo(
                        form.cleaned_data["logo"].read(), by=str(request.user), now=timezone.now()
                    )
                except BillingError as refused:
                    put_errors(form, refused.fields, message=refused.message)
                else:
                    if changed:
                        self._log(request, "Uploaded a logo.")
                    messages.success(
                        request, "This logo stands on new documents and in the portal from now on."
                    )
                    return redirect("admin:billing_seller_changelist")
        return self.page(
            request, "admin/billing/seller/logo.html", title="Logo", form=form,
            **_shown(Seller.objects.select_related("logo").first()), media=self.media + form.media,
            purpose="It stands on new documents and in the portal. Documents that exist keep what they were written "
            "with. Files are read as pictures and written anew; SVG files are not taken.",
        )  # fmt: skip

    def _log(self, request: HttpRequest, sentence: str) -> None:
        seller = Seller.objects.get()
        self.log_change(request, seller, sentence)


def _shown(seller: Seller | None) -> dict[str, Any]:
    logo: Logo | None = seller.logo if seller else None
    if logo is None:
        return {"logo": None, "picture": ""}
    return {"logo": logo, "picture": f"data:image/png;base64,{base64.b64encode(logo.content).decode()}"}
