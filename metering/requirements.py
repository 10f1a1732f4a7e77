"""What a meter asks of an event: a value, a subject or a dimension, and no negative value where it refuses
them.
"""

from __future__ import annotations

from metering.catalog import KnownMeter
from metering.incoming import IncomingEvent, Refusal
from metering.meter_types import Need


def requirement_refusal(meter: KnownMeter, event: IncomingEvent) -> Refusal | None:
    """Give the reason why an event cannot count on its meter; None when it can."""
    signal = event.signal
    if signal is not None:
        if meter.is_outcome:
            return None
        name = str(signal[0])
        message = (
            f"The meter “{event.meter}” counts no outcomes, so nothing can be reversed or confirmed. "
            "To take an event back, void it."
        )
        return Refusal("no_outcome_meter", message, name, event.key)
    value = event.value
    if value is None:
        if meter.need is Need.VALUE:
            message = f'value is missing: the meter “{event.meter}” measures values. Send one, such as "1".'
            return Refusal("value_required", message, "value", event.key)
    elif value < 0 and meter.refuses_negative:
        message = (
            f"value is negative, and the meter “{event.meter}” takes no negative values. "
            "To take an event back, void it."
        )
        return Refusal("negative_value", message, "value", event.key)
    if meter.need is Need.SUBJECT and event.subject is None:
        counts = "each subject once" if meter.is_outcome else "different subjects"
        message = f"subject is missing: the meter “{event.meter}” counts {counts}. Name one."
        return Refusal("subject_required", message, "subject", event.key)
    if meter.need is Need.DIMENSION and not (event.dimensions or {}).get(meter.value_dimension):
        name = meter.value_dimension
        message = f"dimensions.{name} is missing: the meter “{event.meter}” counts its different values."
        return Refusal("dimension_required", message, f"dimensions.{name}", event.key)
    return None
