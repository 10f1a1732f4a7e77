"""Staff who are signed in, by group."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from config.roles import grant


def sign_in(group: str | None = None) -> Client:
    """Give a client signed in as a member of a group, or as a superuser."""
    client = Client()
    client.force_login(make_staff(group))
    return client


def make_staff(group: str | None = None) -> User:
    name = (group or "root").lower().replace(" ", "-")
    user = User.objects.create_user(
        name, f"{name}@example.com", "secret", is_staff=True, is_superuser=not group
    )
    if group:
        grant(Group.objects, Permission.objects)  # a test that flushes the database takes the groups with it
        user.groups.add(Group.objects.get(name=group))
    return user


def messages_of(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def text_of(response: Any) -> str:
    """The page as text with single spaces, so that a sentence is found however the template breaks it."""
    return " ".join(response.content.decode().split())
