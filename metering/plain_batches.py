"""Batches of plain events, as nearly all are: checked column by column instead of event by event.

`plain_columns` gives exactly what checking and matching each event by itself gives when nothing is to be said about any
of them, and None when something might be: then each event is looked at. It decides nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from msgspec.json import Encoder

from metering import catalog
from metering.catalog import KnownMeter
from metering.columns import Columns
from metering.incoming import MAX_DIMENSIONS, IncomingEvent, Refusal, TimeBounds, event_id
from metering.meter_types import Need

NULL = "NULL"
# What Decimal writes for a value within the bounds, comma after comma. Possessive: no step is ever taken back.
_VALUES = re.compile(r"(?:(?:NULL|-?[0-9]{1,20}+(?:\.[0-9]{1,18}+)?+),)*+")
# An instant with every digit turned into 0. Longer fractions and zones further away are looked at one by one.
_INSTANT = re.compile(r"0000-00-00T00:00:00(\.0{1,6})?(Z|[+-]00:00)")
_NEAR_ZONE = re.compile(r"[+-](0[0-9]|1[0-4]):[0-5][0-9]")
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_UUID_LENGTH = 36
_DASHES = (8, 13, 18, 23)
_encode = Encoder().encode


def plain_columns(
    events: Sequence[IncomingEvent | Refusal], *, source: str, now: datetime, bounds: TimeBounds
) -> Columns | None:
    """Give the columns of a batch in the order of their ids when every event is plain, its key is used once, and its
    meter and customer are known; None when each has to be looked at.
    """
    plain = _in_order(events, source=source)
    if plain is None:
        return None
    ids, ordered = plain
    subjects = [event.subject for event in ordered]
    workloads = [event.workload for event in ordered]
    codes = [event.meter for event in ordered]
    customer_codes = [event.customer for event in ordered]
    keys = [event.key or "" for event in ordered]
    named = set(workloads)
    if not _are_storable(keys, codes, customer_codes, filter(None, subjects), filter(None, named)):
        return None
    meters = catalog.meters.find(codes)
    customers = catalog.customers.find(customer_codes)
    values = [NULL if event.value is None else str(event.value) for event in ordered]
    instants = [event.occurred_at for event in ordered]
    dimensions = _dimensions(ordered)
    occurred = _within(instants, now=now, bounds=bounds)
    try:
        meter_ids = {code: str(meters[code].id) for code in set(codes)}
        customer_ids = [str(customers[code]) for code in customer_codes]
    except KeyError:  # not known, or not yet
        return None
    if (
        dimensions is None
        or occurred is None
        or not _are_countable({code: meters[code] for code in meter_ids}, codes, values, subjects)
    ):
        return None
    return Columns(
        ids=ids,
        keys=[] if ids == keys else keys,
        meters=[meter_ids[code] for code in codes],
        customers=customer_ids,
        workloads=_workload_ids(workloads, named - {None}, now=now),
        values=[] if values.count(NULL) == len(values) else values,
        occurred=instants,
        subjects=[] if subjects.count(None) == len(subjects) else subjects,
        dimensions=dimensions,
        occurred_from_to=occurred,
    )


def _in_order(
    events: Sequence[IncomingEvent | Refusal], *, source: str
) -> tuple[list[str], list[IncomingEvent]] | None:
    """Give ids and events in the order of the ids; None where a key is missing or used twice, or one is a signal."""
    ordered: list[IncomingEvent] = [event for event in events if type(event) is IncomingEvent]
    keys = [event.key for event in ordered if event.key is not None]
    if len(keys) < len(events) or any(event.reverses or event.confirms for event in ordered):
        return None
    if _are_uuids(keys):
        ordered.sort(key=attrgetter("key"))
        ids = [event.key or "" for event in ordered]
    else:
        pairs = sorted(
            ((event_id(source, event.key or ""), event) for event in ordered), key=lambda pair: pair[0]
        )
        ids, ordered = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return None if len(set(ids)) < len(ids) else (ids, ordered)


def _are_uuids(keys: Sequence[str]) -> bool:
    """Tell whether every key is a UUID as PostgreSQL writes it: then ids are the keys themselves."""
    if set(map(len, keys)) != {_UUID_LENGTH}:
        return False
    text = "".join(keys)
    if not text.isascii():
        return False
    together = text.encode()
    dashes = b"-" * len(keys)
    return together.translate(None, b"0123456789abcdef") == dashes * len(_DASHES) and all(
        together[place::_UUID_LENGTH] == dashes for place in _DASHES
    )


def _are_storable(*columns: Iterable[str]) -> bool:
    text = "".join(["".join(column) for column in columns])
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _within(
    instants: Sequence[str], *, now: datetime, bounds: TimeBounds
) -> tuple[datetime, datetime] | None:
    """Give the first and the last instant when every text is one that PostgreSQL reads as Python does, within the
    bounds.
    """
    text = ",".join(instants)
    if not text.isascii():
        return None
    shapes = set(text.encode().translate(_DIGITS_TO_ZERO).decode().split(","))
    if not all(map(_INSTANT.fullmatch, shapes)):
        return None
    zones = {instant[-6:] for instant in instants if instant[-1] != "Z"}
    if not all(map(_NEAR_ZONE.fullmatch, zones)):
        return None
    try:
        moments = list(map(datetime.fromisoformat, instants))
    except ValueError:  # the shape is right but there is no such day or hour
        return None
    first, last = min(moments), max(moments)
    if bounds.refusal(first, now) is not None or bounds.refusal(last, now) is not None:
        return None
    return first, last


def _are_countable(
    meters: dict[str, KnownMeter],
    codes: Sequence[str],
    values: Sequence[str],
    subjects: Sequence[str | None],
) -> bool:
    """Tell whether every event carries what its meter asks for: see metering.requirements."""
    text = ",".join(values) + ","
    if not _VALUES.fullmatch(text):
        return False
    known = meters.values()
    if "-" in text and any(meter.refuses_negative for meter in known):
        return False
    if any(meter.need is Need.DIMENSION for meter in known):
        return False
    valued = {code for code, meter in meters.items() if meter.need is Need.VALUE}
    if (
        valued
        and NULL in values
        and any(value == NULL and code in valued for code, value in zip(codes, values, strict=True))
    ):
        return False
    subjected = {code for code, meter in meters.items() if meter.need is Need.SUBJECT}
    if subjected and None in subjects:
        return all(
            subject is not None or code not in subjected
            for code, subject in zip(codes, subjects, strict=True)
        )
    return True


def _dimensions(events: Sequence[IncomingEvent]) -> list[str | None] | None:
    """Give dimensions as JSON, [] when no event has any; None when there are too many or one cannot be stored."""
    given = [event.dimensions for event in events]
    present = [each for each in given if each]
    if not present:
        return []
    if max(map(len, present)) > MAX_DIMENSIONS:
        return None
    try:
        text = b"\x00".join(map(_encode, present)).decode()
    except UnicodeEncodeError:  # half a surrogate pair
        return None
    if "\\u0000" in text:
        return None
    texts: list[str | None] = list(text.split("\x00"))
    if len(present) == len(given):
        return texts
    found = iter(texts)
    return [next(found) if each else None for each in given]


def _workload_ids(workloads: Sequence[str | None], named: set[str | None], *, now: datetime) -> list[str]:
    if not named:
        return []
    ids = catalog.workload_names([name for name in named if name is not None], now=now)
    return [NULL if name is None else str(ids[name]) for name in workloads]
