"""The portal's addresses."""

from __future__ import annotations

from django.urls import path

from billing.portal import home, signing_in

app_name = "portal"

urlpatterns = [
    path("", home.home, name="home"),
    path("sign-in/", signing_in.sign_in, name="sign_in"),
    path("link/<str:token>/", signing_in.link, name="link"),
    path("sign-out/", signing_in.sign_out, name="sign_out"),
]
