"""Errors of the metering app. Each leaf has a stable code and a sentence that says what to do."""

from __future__ import annotations


class MeteringError(Exception):
    """Base of everything this app refuses. `code` is stable; the text is for people."""

    code = "metering_error"
    field: str | None = None

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if field is not None:
            self.field = field


class UnknownMeter(MeteringError):
    code = "unknown_meter"
    field = "meter"


class UndeclaredDimension(MeteringError):
    code = "undeclared_dimension"
    field = "group_by"


class UnknownEvent(MeteringError):
    code = "not_found"
    field = "key"


class EventVoided(MeteringError):
    """An event that was corrected before cannot be corrected again."""

    code = "event_voided"


class CorrectionRefused(MeteringError):
    """A correction that says nothing, or whose new content could not be stored. `code` is that of the refusal."""

    code = "correction_refused"

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message, field=field)
        if code is not None:
            self.code = code


class MeterFrozen(MeteringError):
    """A change that would count events in another way than they were counted."""

    code = "meter_frozen"


class InvalidWindow(MeteringError):
    code = "invalid_window"
    field = "from"


class UnreadableHeader(MeteringError):
    """The first line of a CSV does not name the columns of events."""

    code = "unreadable_header"


class EventRefused(MeteringError):
    """The one event of a request is not taken, and its sender looks at the status only."""

    def __init__(self, message: str, *, code: str, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.code = code


class LedgerMismatch(MeteringError):
    """Event rows are missing, or there are too many: the one thing that must never be."""

    code = "ledger_mismatch"
    field = None


class UnusableFile(MeteringError):
    """A file to import cannot be opened, unpacked or understood."""

    code = "unusable_file"


class PruneFailed(MeteringError):
    """An archive is not what was written, or its events are not there."""

    code = "prune_failed"
