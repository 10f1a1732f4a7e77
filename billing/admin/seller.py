"""Who bills, as documents and the portal show it: what staff write here, else the environment, and the logo."""

from __future__ import annotations

import base64
from typing import Any, ClassVar
from unicodedata import category

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import get_text_list
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.errors import BillingError
from billing.logos import MOST_UPLOADED, put_logo, remove_logo
from billing.models import Logo, Seller
from billing.parties import issuer_now, seller_for_update
from customers.staff_pages import StaffAdmin, log_of, put_errors, require


def unnamed_seller() -> str:
    """Give the name that stands in for the seller's while nobody has set one, else nothing."""
    name = issuer_now()["name"]
    return name if name == settings.ISSUER_UNNAMED else ""


class SellerForm(forms.ModelForm):
    """What documents say of the seller. A field left empty shows what the environment says in its place."""

    class Meta:
        model = Seller
        fields = Seller.SAID
        widgets: ClassVar = {
            "name": UnfoldAdminTextInputWidget({"autocomplete": "organization"}),
            "address": UnfoldAdminTextareaWidget({"rows": 4, "autocomplete": "street-address"}),
            "email": UnfoldAdminTextInputWidget({"type": "email", "autocomplete": "email"}),
            "tax_id": UnfoldAdminTextInputWidget({"autocomplete": "off"}),
            "payment": UnfoldAdminTextareaWidget({"rows": 4}),
            "terms": UnfoldAdminTextareaWidget({"rows": 3}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in Seller.SAID:
            instead = settings.ISSUER[name]
            if instead and instead != settings.ISSUER_UNNAMED:
                self.fields[name].widget.attrs["placeholder"] = instead

    def clean_name(self) -> str:
        return _one_line(self.cleaned_data["name"])

    def clean_tax_id(self) -> str:
        return _one_line(self.cleaned_data["tax_id"])

    def clean(self) -> None:
        for name in ("address", "payment", "terms"):
            if name in self.cleaned_data:
                self.cleaned_data[name] = "\n".join(self.cleaned_data[name].splitlines())
        named = self.cleaned_data.get("name") or settings.ISSUER["name"] != settings.ISSUER_UNNAMED
        if not named and "name" not in self.errors:
            self.add_error("name", "Write the name that invoices come from.")


def _one_line(text: str) -> str:
    if any(
        category(letter) in ("Cc", "Zl", "Zp") for letter in text
    ):  # joiners inside words are letters' own
        raise forms.ValidationError("Write this on one line.")
    return text


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
    """One page that shows, one that writes what documents say, and one that uploads or removes the logo."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.show_view), name="billing_seller_changelist"),
            path("change/", wrap(self.change_seller_view), name="billing_seller_details"),
            path("logo/", wrap(self.logo_view), name="billing_seller_logo"),
        ]

    def show_view(self, request: HttpRequest) -> HttpResponse:
        """Show who bills, as new documents say it."""
        require(request, "billing.view_seller")
        seller = Seller.objects.select_related("logo").first()
        return self.page(
            request, "admin/billing/seller/show.html", title="Seller", **_shown(seller),
            printed=_printed(seller),
            unnamed=unnamed_seller(), from_file=bool(settings.ISSUER_LOGO), log=log_of(seller) if seller else [],
            purpose="Who bills: the head and foot of invoices, credit notes and statements, and of the portal.",
        )  # fmt: skip

    def change_seller_view(self, request: HttpRequest) -> HttpResponse:
        """Write name, address and what else documents say of the seller. Documents that exist keep what they say."""
        require(request, "billing.view_seller", "billing.change_seller")
        seller = Seller.objects.first() or Seller()
        form = SellerForm(request.POST or None, instance=seller)
        if request.method == "POST":
            with transaction.atomic():
                form = SellerForm(request.POST, instance=seller_for_update())
                if form.is_valid() and form.has_changed():
                    seller = form.save()
                    labels = [str(form.fields[name].label).lower() for name in form.changed_data]
                    self._log(request, f"Changed {get_text_list(labels, 'and')}.")
            if form.is_valid():
                messages.success(
                    request, "New documents and the portal say this now. Documents that exist stay."
                )
                return redirect("admin:billing_seller_changelist")
        return self.page(
            request, "admin/billing/seller/details.html", title="Who bills", form=form,
            status=400 if form.errors else 200, media=self.media + form.media,
            purpose="It stands on new documents and in the portal. Documents that exist keep theirs.",
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


def _printed(seller: Seller | None) -> list[tuple[str, str, str]]:
    """Give what documents say of the seller: label, text, and the variable of the environment where that says it."""
    issuer, rows = issuer_now(), []
    for name in Seller.SAID:
        written = bool(seller and getattr(seller, name))
        said = "" if written or not issuer[name] else f"ISSUER_{name.upper()}"
        rows.append((str(SellerForm.base_fields[name].label), issuer[name], said))
    return rows


def _shown(seller: Seller | None) -> dict[str, Any]:
    logo: Logo | None = seller.logo if seller else None
    if logo is None:
        return {"logo": None, "picture": ""}
    return {"logo": logo, "picture": f"data:image/png;base64,{base64.b64encode(logo.content).decode()}"}
