"""The life of a meter: draft, active, deprecated; and what may still change.

A draft counts nothing: its events wait as unmatched. An active meter counts. A deprecated meter goes on counting,
so that nothing sent to it is lost and plans in use stay right, but no new plan may price it. There is no way back to
draft.

The rule for changes: `type` and the other fields that say how events become a quantity (Meter.DEFINITION_FIELDS) may
change until the meter has events or an agreed plan prices it; from then on counting in another way needs another meter.
Dimensions may be added at any time, and then no longer be taken away. Label, unit, description, what is an attempt and
whether negative values are taken may always change. The code stays once the meter is not a draft. The database holds
the same rule (triggers metering_meter_stays and billing_meter_stays).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from customers.codes import code_from_label
from customers.errors import AlreadyExists
from metering.errors import MeterFrozen
from metering.models import Meter, MeterStatus
from metering.releasing import release_unmatched

# Others who keep a meter as it is: each gives a sentence, or None. Billing adds the plans that price it.
also_frozen_by: list[Callable[[Meter], str | None]] = []


def create_meter(*, label: str, now: datetime, code: str = "", **fields: Any) -> Meter:
    """Create a meter and count the events that were waiting for it.

    Raises ValidationError naming each wrong field and AlreadyExists for a code that is taken.
    """
    meter = Meter(label=label, code=code or code_from_label(label), **fields)
    with transaction.atomic():
        meter.full_clean(validate_unique=False)
        if Meter.objects.filter(code=meter.code).exists():
            raise AlreadyExists(
                f"There is a meter with the code “{meter.code}” already. Choose another code."
            )
        meter.save()
        release_unmatched(now=now)
    return meter


def change_meter(meter: Meter, *, now: datetime, **changes: Any) -> Meter:
    """Change a meter as far as the rule above allows, and count the events that fit it now.

    Raises MeterFrozen naming the first field that stays, and ValidationError for a value that is wrong.
    """
    with transaction.atomic():
        meter = Meter.objects.select_for_update().get(pk=meter.pk)
        stored = Meter.objects.get(pk=meter.pk)
        for name, value in changes.items():
            setattr(meter, name, value)
        stays = frozen_changes(meter, stored)
        if stays:
            name, sentence = next(iter(stays.items()))
            raise MeterFrozen(sentence, field=name)
        meter.full_clean()
        meter.save()
        release_unmatched(now=now)
    return meter


def frozen_reason(meter: Meter) -> str | None:
    """Say why the definition of a stored meter stays as it is; None while it may change."""
    if meter.status == MeterStatus.DRAFT:
        return None
    if has_events(meter):
        return "it has events"
    return next((reason for check in also_frozen_by if (reason := check(meter))), None)


def has_events(meter: Meter) -> bool:
    """Tell whether any event names a meter, counted or voided. One index look-up per customer."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT metering_meter_has_events(%s)", [meter.pk])
        return bool(cursor.fetchone()[0])


def frozen_changes(meter: Meter, stored: Meter) -> dict[str, str]:
    """Give a sentence for each field of `meter` that may not differ from what is stored."""
    problems = {}
    if stored.status != MeterStatus.DRAFT:
        if meter.status == MeterStatus.DRAFT:
            problems["status"] = "A meter that was active cannot become a draft again; make it deprecated."
        if meter.code != stored.code:
            problems["code"] = f"The code cannot be changed; it stays “{stored.code}”."
    changed = [name for name in Meter.DEFINITION_FIELDS if getattr(meter, name) != getattr(stored, name)]
    removed = [name for name in stored.dimensions if name not in meter.dimensions]
    if not (changed or removed) or (reason := frozen_reason(stored)) is None:
        return problems
    for name in changed:
        problems[name] = (
            f"This cannot be changed any more: {reason}. Create another meter to count in another way."
        )
    if removed:
        problems["dimensions"] = (
            f"{', '.join(removed)} cannot be removed any more: {reason}. More can be added."
        )
    return problems


def check_changes(meter: Meter) -> None:
    """Raise ValidationError when a changed meter differs where it must not; forms call it through `Meter.clean`."""
    stored = Meter.objects.filter(pk=meter.pk).first()
    if stored is not None and (problems := frozen_changes(meter, stored)):
        raise ValidationError(problems)
