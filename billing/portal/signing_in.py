"""Signing in by a mailed link, and out."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing.parties import issuer_now
from billing.portal.access import page
from customers.portal_access import access_of_link, live_access, send_sign_in_link, sign_in_by_link


class SignInForm(forms.Form):
    email = forms.EmailField(
        label="E-mail address",
        label_suffix="",
        max_length=254,
        error_messages={
            "required": "Enter the e-mail address your invoices are sent to.",
            "invalid": "Enter a whole e-mail address, such as anna@example.com.",
        },
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True, "spellcheck": "false"}),
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponseBase:
    """Ask for an address and mail a link. The answer does not tell whether the address is known."""
    if live_access(request.user) is not None:
        return redirect("portal:home")
    form = SignInForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        send_sign_in_link(form.cleaned_data["email"], issuer=issuer_now()["name"])
        return page(
            request,
            "portal/link_sent.html",
            email=form.cleaned_data["email"],
            minutes=settings.SESAME_MAX_AGE // 60,
        )
    return page(request, "portal/sign_in.html", form=form, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def link(request: HttpRequest, token: str) -> HttpResponseBase:
    """Land a mailed link. Reading it changes nothing: mail programs read links first. A button signs in."""
    answer = _landed(request, token)
    # What this page loads, and whoever logs that, is told the site and not the link.
    answer.headers["Referrer-Policy"] = "strict-origin"
    return answer


def _landed(request: HttpRequest, token: str) -> HttpResponse:
    if request.method == "POST":
        if sign_in_by_link(request, token) is not None:
            return redirect("portal:home")
    elif (access := access_of_link(token)) is not None:
        return page(request, "portal/link.html", invited=access)
    if live_access(request.user) is not None:
        return redirect("portal:home")
    return page(request, "portal/link_over.html", status=410, minutes=settings.SESAME_MAX_AGE // 60)


@never_cache
@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    logout(request)
    return page(request, "portal/signed_out.html")
