"""Reading a file line by line, plain or packed with gzip, in flat memory and with a digest of all that was read."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib

from metering.errors import UnusableFile

MAX_LINE_BYTES = 1024 * 1024
CHUNK_BYTES = 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"


class LineStream:
    """The lines of a binary stream.

    `number` is that of the line read last, the first being 1; `offset` is where it ends, in unpacked bytes.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        packed = stream.peek(2)[:2] == GZIP_MAGIC
        self._stream: gzip.GzipFile | io.BufferedReader = gzip.GzipFile(fileobj=stream) if packed else stream
        self._digest = hashlib.sha256()
        self.number = 0
        self.offset = 0

    @property
    def digest(self) -> str:
        """SHA-256 of everything up to `offset`, in hexadecimal."""
        return self._digest.copy().hexdigest()

    def read(self) -> bytes | None:
        """Give the next line with its end; None after the last.

        Of a line above 1 MiB only the beginning is given, which is longer than 1 MiB. Raises UnusableFile.
        """
        line = self._take(MAX_LINE_BYTES + 1, whole_line=True)
        if not line:
            return None
        self.number += 1
        rest = line
        while rest and not rest.endswith(b"\n"):  # the last line of a file may lack its end
            rest = self._take(CHUNK_BYTES, whole_line=True)
        return line.removeprefix(codecs.BOM_UTF8) if self.number == 1 else line

    def skip(self, offset: int, *, number: int) -> None:
        """Go to where line `number` ends, or to the end of a shorter file. Raises UnusableFile."""
        while self.offset < offset and self._take(min(CHUNK_BYTES, offset - self.offset), whole_line=False):
            continue
        self.number = number

    def _take(self, size: int, *, whole_line: bool) -> bytes:
        try:
            taken = self._stream.readline(size) if whole_line else self._stream.read(size)
        except (EOFError, OSError, zlib.error) as broken:
            raise UnusableFile(
                f"The file cannot be read after line {self.number}: {broken}. What came before is stored."
            ) from broken
        self._digest.update(taken)
        self.offset += len(taken)
        return taken
