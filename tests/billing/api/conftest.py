from tests.integrator import fresh, integrator

__all__ = ["fresh", "integrator"]
