"""Making and revoking the keys of integrations."""

from __future__ import annotations

from collections.abc import Sequence

from customers.models import ApiKey


def create_api_key(name: str, *, scopes: Sequence[str], source: str = "api") -> tuple[ApiKey, str]:
    """Store a new key's hash; give the row and the key itself, which can never be shown again."""
    key = ApiKey(name=name, scopes=sorted(set(scopes)), source=source)
    secret = ApiKey.objects.assign_key(key)
    key.full_clean(exclude=["id", "prefix", "hashed_key"])
    key.save()
    return key, secret


def revoke_api_key(key: ApiKey) -> None:
    """Revoke a key for good. Web processes notice within seconds."""
    key.revoked = True
    key.save(update_fields=["revoked"])
