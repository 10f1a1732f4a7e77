"""Says at installation what PDF invoices still need: system libraries, which pip cannot bring."""

from __future__ import annotations

import contextlib
import io
import sys

DEBIAN_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"
EXPLANATION = """\
PDF invoices need system libraries that this machine lacks:
    {reason}
On Debian or Ubuntu: apt-get install {packages}
Everything else works without them.
"""


def missing_for_pdf() -> str | None:
    """The reason why PDF documents cannot be made here, or None when they can."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the library prints an essay of its own
            import weasyprint  # noqa: F401
    except OSError as error:
        return str(error).splitlines()[0]
    return None


if __name__ == "__main__" and (reason := missing_for_pdf()):
    sys.stderr.write(EXPLANATION.format(reason=reason, packages=DEBIAN_PACKAGES))
