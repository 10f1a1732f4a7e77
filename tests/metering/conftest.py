import pytest

from metering import catalog
from tests.integrator import fresh

__all__ = ["fresh"]


@pytest.fixture(autouse=True)
def _fresh_catalog() -> None:
    """Ids of an earlier test's rolled back meters and customers are forgotten."""
    catalog.forget()
