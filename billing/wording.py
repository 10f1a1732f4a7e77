"""The fixed words of documents in the customer's language: which language, which words, and how they are filled in.

Reads and writes nothing. billing.parties stores the words with what was written in them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal

from babel import Locale

from billing.formatting import number
from billing.words import ar, de, en, es, fr, it, ja, nl, pt

CATALOGUES = {"en": en, "de": de, "fr": fr, "es": es, "nl": nl, "pt": pt, "it": it, "ar": ar, "ja": ja}
RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")
ISOLATE, END = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
FIGURE = re.compile(r"-?[\d,]+(\.\d+)?")


@dataclass(frozen=True)
class Words:
    """The words of one language as they were at some time. `labels` are the English ones that `texts` translate."""

    language: str
    texts: Mapping[str, str]
    labels: Mapping[str, str]

    @functools.cached_property
    def digest(self) -> str:
        """Name exactly these words: other words have another digest."""
        content = [self.language, dict(self.texts), dict(self.labels)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    @functools.cached_property
    def patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        return tuple((key, _pattern(english)) for key, english in self.labels.items())

    @property
    def direction(self) -> str:
        return "rtl" if self.language in RIGHT_TO_LEFT else "ltr"


@functools.lru_cache(maxsize=1_024)  # reading a locale takes long
def language_of(locale: str) -> str:
    """Give the language of a customer's documents: that of its number format, English where there are no words."""
    language = str(Locale.parse(locale or "en_US").language)
    return language if language in CATALOGUES else "en"


@functools.lru_cache(maxsize=len(CATALOGUES))
def words_now(language: str) -> Words:
    """Give the words of a language that new documents are written with."""
    catalogue = CATALOGUES[language]
    return Words(language, {**catalogue.WORDS, **catalogue.LABELS}, dict(en.LABELS))


_CURRENT: ContextVar[Words | None] = ContextVar("words", default=None)


def current_words() -> Words:
    """Give the words of the document that is being written, English outside of one."""
    return _CURRENT.get() or words_now("en")


@contextmanager
def in_words(words: Words) -> Iterator[None]:
    """Write with these words until the end of the block."""
    token = _CURRENT.set(words)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def word(key: str, **values: str) -> str:
    """Write a fixed word or sentence with its values filled in. Raises KeyError for a key that does not exist."""
    words = current_words()
    # A key that came after a document was written has no frozen text.
    text = words.texts.get(key) or words_now(words.language).texts[key]
    if words.direction == "rtl":  # figures and names keep their own direction
        values = {name: f"{ISOLATE}{value}{END}" for name, value in values.items()}
    return text.format(**values)


def label(text: str) -> str:
    """Translate words that rating, fees or taxes wrote on a line in English; whatever people wrote stays."""
    words = current_words()
    if words.language == "en":
        return text
    for key, pattern in words.patterns:
        if found := pattern.fullmatch(text):
            return word(key, **{name: _value(name, value) for name, value in found.groupdict().items()})
    return text


def _value(name: str, value: str) -> str:
    if name == "tier":
        return label(value[:1].upper() + value[1:])
    if name == "what":
        return label(value)
    return number(Decimal(value.replace(",", ""))) if FIGURE.fullmatch(value) else value


def _pattern(english: str) -> re.Pattern[str]:
    """Find a label again: names and nested labels are any text, a number of an invoice any word, the rest figures."""
    kinds = {"tier": ".+", "what": ".+", "name": ".+", "number": r"\S+"}
    parts = PLACEHOLDER.split(english)
    written = [
        f"(?P<{part}>{kinds.get(part, FIGURE.pattern.replace('(', '(?:'))})" if n % 2 else re.escape(part)
        for n, part in enumerate(parts)
    ]
    return re.compile("".join(written), re.DOTALL)
