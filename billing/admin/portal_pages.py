"""Who may open a customer's portal: give access, make a link, take access back."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.parties import issuer_now
from customers.errors import CustomersError
from customers.models import Customer, PortalAccess
from customers.portal_access import create_portal_access, portal_link, revoke_portal_access, send_sign_in_link
from customers.staff_pages import StaffAdmin, require


class AccessForm(forms.Form):
    email = forms.EmailField(
        label="E-mail address",
        widget=UnfoldAdminTextInputWidget({"type": "email", "autocomplete": "off"}),
        help_text="This person signs in by links sent to the address; there is no password.",
    )


class PortalPages(StaffAdmin):
    """Adds the pages of portal access to the admin of customers."""

    def portal_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        one = "<int:pk>/portal/<int:access_pk>/"
        return [
            path("<int:pk>/portal/", wrap(self.portal_view), name="customers_customer_portal"),
            path(f"{one}link/", wrap(self.portal_link_view), name="customers_customer_portal_link"),
            path(f"{one}mail/", wrap(self.portal_mail_view), name="customers_customer_portal_mail"),
            path(f"{one}revoke/", wrap(self.portal_revoke_view), name="customers_customer_portal_revoke"),
        ]

    def portal_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """List who may open the portal, and let one more person in."""
        require(request, "customers.view_customer", "customers.view_portalaccess")
        customer = get_object_or_404(Customer, pk=pk)
        initial = {"email": customer.email} if not customer.portal_accesses.exists() else None
        form = AccessForm(request.POST or None, initial=initial)
        if request.method == "POST":
            require(request, "customers.add_portalaccess")
            if form.is_valid():
                try:
                    access = create_portal_access(customer, form.cleaned_data["email"])
                except CustomersError as refused:
                    form.add_error("email", refused.message)
                else:
                    self.log_change(request, customer, f"Let {access.email} into the portal.")
                    messages.success(request, f"{access.email} may open the portal. Send a sign-in link now.")
                    return redirect("admin:customers_customer_portal", pk)
        return self.page(
            request,
            "admin/billing/customer/portal.html",
            title=f"Portal access of {customer.name}",
            customer=customer,
            form=form,
            accesses=customer.portal_accesses.order_by("revoked_at", "email"),
            purpose="In the portal a customer sees its invoices, what is behind them, and its usage so far. "
            "It sees nothing of another customer and no costs.",
        )

    def portal_link_view(self, request: HttpRequest, pk: int, access_pk: int) -> HttpResponse:
        """Make a sign-in link, shown once."""
        require(request, "customers.add_portalaccess")
        access = self._live_access(pk, access_pk)
        if request.method != "POST":
            return redirect("admin:customers_customer_portal", pk)
        self.log_change(request, access.customer, f"Showed a portal link for {access.email}.")
        return self.page(
            request,
            "admin/billing/customer/portal_link.html",
            title="Copy this link now",
            customer=access.customer,
            access=access,
            link=portal_link(access, settings.PUBLIC_URL),
            minutes=settings.SESAME_MAX_AGE // 60,
        )

    def portal_mail_view(self, request: HttpRequest, pk: int, access_pk: int) -> HttpResponse:
        require(request, "customers.add_portalaccess")
        access = self._live_access(pk, access_pk)
        if request.method == "POST":
            send_sign_in_link(access.email, issuer=issuer_now()["name"])
            messages.success(
                request, f"A sign-in link is on its way to {access.email}, at most one in two minutes."
            )
        return redirect("admin:customers_customer_portal", pk)

    def portal_revoke_view(self, request: HttpRequest, pk: int, access_pk: int) -> HttpResponse:
        require(request, "customers.change_portalaccess")
        access = self._live_access(pk, access_pk)
        if request.method == "POST":
            revoke_portal_access(access)
            self.log_change(request, access.customer, f"Took portal access from {access.email}.")
            messages.success(request, f"{access.email} can no longer open the portal, from this moment on.")
            return redirect("admin:customers_customer_portal", pk)
        return self.page(
            request,
            "admin/billing/customer/portal_revoke.html",
            title=f"Take portal access from {access.email}?",
            customer=access.customer,
            access=access,
        )

    def _live_access(self, pk: int, access_pk: int) -> PortalAccess:
        rows = PortalAccess.objects.select_related("customer", "user")
        return get_object_or_404(rows, pk=access_pk, customer=pk, revoked_at=None)
