"""HOW MUCH is used: meters, events and the batches they arrived in, workloads."""

from metering.meter_types import MeterType
from metering.models.archives import EventArchive
from metering.models.batches import BatchKind, EventBatch, EventLedger
from metering.models.corrections import CorrectionKind, EventCorrection
from metering.models.events import Event, EventConflict
from metering.models.fields import QuantityField
from metering.models.meter_rules import (
    MAX_DIGITS,
    MAX_TIMEOUT_HOURS,
    TOO_LARGE,
    MeterStatus,
    validate_dimension,
    validate_filters,
)
from metering.models.meters import Meter
from metering.models.outcomes import OutcomeStanding, SettledOutcome
from metering.models.usage import Rollup, RollupZone, UsageByDay
from metering.models.workloads import Workload, WorkloadName, WorkloadRule

__all__ = [
    "MAX_DIGITS",
    "MAX_TIMEOUT_HOURS",
    "TOO_LARGE",
    "BatchKind",
    "CorrectionKind",
    "Event",
    "EventArchive",
    "EventBatch",
    "EventConflict",
    "EventCorrection",
    "EventLedger",
    "Meter",
    "MeterStatus",
    "MeterType",
    "OutcomeStanding",
    "QuantityField",
    "Rollup",
    "RollupZone",
    "SettledOutcome",
    "UsageByDay",
    "Workload",
    "WorkloadName",
    "WorkloadRule",
    "validate_dimension",
    "validate_filters",
]
