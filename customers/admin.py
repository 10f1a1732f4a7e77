"""Who may enter: API keys of integrations, staff users and their groups."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob
from rest_framework_api_key.models import APIKey as LibraryKey
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from customers.keys import create_api_key, revoke_api_key
from customers.models import ApiKey, Scope
from customers.staff_pages import StaffAdmin, log_of, require

# Libraries register tables that are none of a billing clerk's business.
for model in (LibraryKey, ProcrastinateJob, ProcrastinateEvent, User, Group):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class KeyForm(forms.Form):
    name = forms.CharField(
        max_length=50,
        widget=UnfoldAdminTextInputWidget,
        help_text="Which system uses it, for example “Support platform, production”.",
    )
    scopes = forms.MultipleChoiceField(
        label="May do",
        choices=Scope.choices,
        initial=[Scope.INGEST],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Give each system only what it needs.",
    )
    source = forms.CharField(
        max_length=100,
        initial="api",
        widget=UnfoldAdminTextInputWidget,
        help_text=ApiKey.source.field.help_text,
    )


class KeyList(ChangeList):
    """Addresses keys by their visible beginning: the primary key holds the fingerprint."""

    def url_for_result(self, result: Any) -> str:
        return reverse("admin:customers_apikey_change", args=[result.prefix])


@admin.register(ApiKey)
class ApiKeyAdmin(StaffAdmin):
    purpose = (
        "Integrations send events and read usage with a key. A key is shown once, when it is made; "
        "only a fingerprint is stored. A lost key is replaced: make a new one, then revoke the old."
    )
    empty_title = "No API keys yet"
    empty_text = "Make a key so that your systems can send events."
    list_display = ("name", "beginning", "may_do", "source", "created", "state")
    list_filter = ("revoked",)
    search_fields = ("name", "prefix")

    @display(description="Begins with")
    def beginning(self, key: ApiKey) -> str:
        return f"{key.prefix}."

    @display(description="May do")
    def may_do(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @display(description="State", label={"active": "success", "revoked": "danger", "expired": "warning"})
    def state(self, key: ApiKey) -> tuple[str, str]:
        if key.revoked:
            return "revoked", "Revoked"
        if key.expiry_date is not None and key.expiry_date <= timezone.now():
            return "expired", "Expired"
        return "active", "Active"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        revoke = path(
            "<str:prefix>/revoke/",
            self.admin_site.admin_view(self.revoke_view),
            name="customers_apikey_revoke",
        )
        return [revoke, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyList

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a key by its beginning; nothing of it can be changed."""
        require(request, "customers.view_apikey")
        key = get_object_or_404(ApiKey, prefix=object_id)
        return self.page(
            request,
            "admin/customers/apikey/show.html",
            title=key.name,
            key=key,
            state=self.state(key),
            log=log_of(key),
        )

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Make a key; the answer to the form is the only page that ever shows it."""
        require(request, "customers.add_apikey")
        form = KeyForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                key, secret = create_api_key(**form.cleaned_data)
            except ValidationError as refused:
                form.add_error(None, refused)
            else:
                self.log_addition(request, key, f"Made, with the scopes {', '.join(key.scopes)}.")
                return self.page(
                    request,
                    "admin/customers/apikey/created.html",
                    title="Copy this key now",
                    key=key,
                    secret=secret,
                )
        return self.page(request, "admin/customers/apikey/add_form.html", title="Make an API key", form=form)

    def revoke_view(self, request: HttpRequest, prefix: str) -> HttpResponse:
        require(request, "customers.change_apikey")
        key = get_object_or_404(ApiKey, prefix=prefix)
        if request.method == "POST" and not key.revoked:
            revoke_api_key(key)
            self.log_change(request, key, "Revoked.")
            messages.success(
                request, f"The key “{key.name}” is revoked. Requests with it are refused within seconds."
            )
        if request.method == "POST" or key.revoked:
            return redirect("admin:customers_apikey_changelist")
        return self.page(
            request, "admin/customers/apikey/revoke.html", title=f"Revoke “{key.name}”?", key=key
        )


@admin.register(User)
class StaffUserAdmin(DjangoUserAdmin, StaffAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    purpose = (
        "People who work in this admin. What each may do comes from the groups. "
        "Nobody is deleted: switch off “Active” when somebody leaves."
    )
    list_display = ("username", "full_name", "email", "group_names", "is_active", "last_seen")
    list_filter = ("is_active", "groups")
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("What this person may do", {"fields": ("is_active", "groups", "is_superuser")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "usable_password", "password1", "password2")}),)
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Leave out the users behind portal links: they are customers, not staff."""
        users: QuerySet[User] = super().get_queryset(request)
        return users.filter(portal_access=None).prefetch_related("groups")

    @display(description="Name")
    def full_name(self, user: User) -> str:
        return user.get_full_name()

    @display(description="Last sign-in (UTC)", ordering="last_login")
    def last_seen(self, user: User) -> str:
        return f"{user.last_login:%-d %b %Y, %H:%M}" if user.last_login else "never"

    @display(description="Groups")
    def group_names(self, user: User) -> str:
        names = [group.name for group in user.groups.all()]
        return ", ".join(["Superuser", *names] if user.is_superuser else names) or "none: sees nothing"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only a superuser makes superusers."""
        return () if request.user.is_superuser else ("is_superuser",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        user = self.get_object(request, id)
        if user is not None and not self.has_change_permission(request, user):
            raise PermissionDenied
        return super().user_change_password(request, id, form_url)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.is_staff = True
        super().save_model(request, obj, form, change)


@admin.register(Group)
class StaffGroupAdmin(DjangoGroupAdmin, StaffAdmin):
    purpose = (
        "What people may do. “Billing admin” may do everything, “Billing clerk” everything but API keys, "
        "users and the activation of plans, “Read only” may look at every page."
    )
    list_display = ("name",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
