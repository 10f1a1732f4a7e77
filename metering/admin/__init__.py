"""The staff pages of metering: meters, events, what did not match, workloads."""

from metering.admin import conflicts, events, meters, workloads

__all__ = ["conflicts", "events", "meters", "workloads"]
