"""Which workload an event belongs to: the one its name is mapped to, or the first rule that fits.

Read when something is costed; events keep the name they came with, so mapping a name or writing a rule later
holds for the past as well and loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metering.aggregation import Group
from metering.models import Workload, WorkloadName, WorkloadRule


@dataclass(frozen=True, slots=True)
class Assignment:
    """The workloads of all names, and the rules for everything else. Load it once for many events."""

    workloads: Mapping[int, Workload]
    names: Mapping[int, WorkloadName]
    by_name: Mapping[int, int]
    rules: tuple[WorkloadRule, ...]

    @classmethod
    def load(cls) -> Assignment:
        """Read names and rules. A name that is no workload's yet belongs to the workload with that code."""
        workloads = {each.pk: each for each in Workload.objects.all()}
        by_code = {each.code: each.pk for each in workloads.values()}
        names = {each.pk: each for each in WorkloadName.objects.all()}
        by_name = {
            name.pk: workload
            for name in names.values()
            if (workload := name.workload_id or by_code.get(name.name)) is not None
        }
        return cls(workloads, names, by_name, tuple(WorkloadRule.objects.all()))

    @property
    def needed(self) -> tuple[str, ...]:
        """What events must be grouped by for `workload_of`, beside the workload's name."""
        dimensions = {f"dimension:{rule.dimension}" for rule in self.rules if rule.dimension}
        return (*sorted(dimensions), *(["source"] if any(rule.source for rule in self.rules) else []))

    def workload_of(self, meter_id: int, values: Mapping[str, Group]) -> int | None:
        """Give the workload of a group of events; None: unassigned."""
        name = values["workload_id"]
        if isinstance(name, int) and name in self.by_name:
            return self.by_name[name]
        for rule in self.rules:
            if rule.meter_id not in (None, meter_id):
                continue
            if rule.source and values["source"] != rule.source:
                continue
            if rule.dimension and values[f"dimension:{rule.dimension}"] != rule.value:
                continue
            return rule.workload_id
        return None

    def family_of(self, workload_id: int) -> set[int]:
        """Give a workload and all that are part of it."""
        found = {workload_id}
        while True:
            more = {pk for pk, each in self.workloads.items() if each.parent_id in found} - found
            if not more:
                return found
            found |= more
