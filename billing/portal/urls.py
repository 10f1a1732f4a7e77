"""The portal's addresses."""

from __future__ import annotations

from django.urls import path, re_path

from billing.portal import (
    account,
    balance,
    credit_notes,
    disputes,
    events,
    home,
    invoices,
    limits,
    logo,
    signing_in,
    statement,
    subjects,
)

app_name = "portal"

urlpatterns = [
    path("", home.home, name="home"),
    path("invoices/", invoices.invoices, name="invoices"),
    path("invoices/csv/", invoices.invoices_file, name="invoices_file"),
    path("invoices/<slug:number>/", invoices.invoice, name="invoice"),
    path("invoices/<slug:number>/pdf/", invoices.invoice_file, name="invoice_file"),
    re_path(
        r"^invoices/(?P<number>[-a-zA-Z0-9_]+)/evidence/(?P<kind>csv|json)/$",
        invoices.evidence,
        name="evidence",
    ),
    path("invoices/<slug:number>/lines/<int:n>/events/", events.events, name="events"),
    path("invoices/<slug:number>/lines/<int:n>/events/<uuid:pk>/", events.event, name="event"),
    path("invoices/<slug:number>/lines/<int:n>/events/json/", events.events_json_file, name="events_json"),
    path("invoices/<slug:number>/lines/<int:n>/events/csv/", events.events_file, name="events_file"),
    path("invoices/<slug:number>/lines/<int:n>/dispute/", disputes.dispute_line, name="dispute_line"),
    path("disputes/", disputes.disputes, name="disputes"),
    path("disputes/<int:pk>/", disputes.dispute, name="dispute"),
    path("disputes/<int:pk>/withdraw/", disputes.withdraw, name="withdraw_dispute"),
    path("subjects/", subjects.subject, name="subject"),
    path("credit-notes/<slug:number>/", credit_notes.credit_note, name="credit_note"),
    path("credit-notes/<slug:number>/pdf/", credit_notes.credit_note_file, name="credit_note_file"),
    path("statement/", statement.statement, name="statement"),
    re_path(r"^statement/(?P<kind>pdf|csv)/$", statement.statement_file, name="statement_file"),
    path("credits/", balance.balance, name="credits"),
    path("limits/", limits.limits, name="limits"),
    path("account/", account.account, name="account"),
    re_path(r"^logo/(?P<digest>[0-9a-f]{64})\.png$", logo.logo, name="logo"),
    path("sign-in/", signing_in.sign_in, name="sign_in"),
    path("link/<str:token>/", signing_in.link, name="link"),
    path("sign-out/", signing_in.sign_out, name="sign_out"),
]
