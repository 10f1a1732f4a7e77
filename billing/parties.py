"""Who bills and who is billed, as documents freeze them: names and addresses, the logo, the language and its words."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings

from billing.formatting import in_locale
from billing.models import DocumentWords, Seller
from billing.wording import CATALOGUES, Words, in_words, language_of, words_now
from customers.models import Customer


def issuer_now() -> dict[str, str]:
    """Give who bills, as frozen on a document, in one query. `logo` names the uploaded one, if there is any.

    What staff wrote under **Seller** goes before the environment, each part on its own.
    """
    row = Seller.objects.values(*Seller.SAID, "logo_id").first()
    if row is None:
        return dict(settings.ISSUER)
    logo = row.pop("logo_id")
    return (
        settings.ISSUER
        | {name: text for name, text in row.items() if text}
        | ({"logo": logo} if logo else {})
    )


def seller_for_update() -> Seller:
    """Give the seller's row, made where there is none, locked until the transaction ends."""
    Seller.objects.get_or_create()
    return Seller.objects.select_for_update().get()


def recipient_of(customer: Customer) -> dict[str, str]:
    """Give who is billed, as frozen on a document. `words` names the words of its language (`keep_words`)."""
    return {
        "code": customer.code,
        "name": customer.name,
        "email": customer.email,
        "address": customer.address,
        "country": customer.country,
        "tax_id": customer.tax_id,
        "locale": customer.locale,
        "words": words_now(language_of(customer.locale)).digest,
    }


def keep_words(recipients: Iterable[Mapping[str, str]]) -> None:
    """Store the words that documents for these are written with, where they are not stored yet.

    Called in the transaction that stores the documents; usually one query.
    """
    wanted = {recipient["words"] for recipient in recipients}
    missing = wanted.difference(
        DocumentWords.objects.filter(digest__in=wanted).values_list("digest", flat=True)
    )
    if not missing:
        return
    rows = [
        DocumentWords(
            digest=words.digest,
            language=words.language,
            texts=dict(words.texts),
            labels=dict(words.labels),
        )
        for words in map(words_now, sorted(CATALOGUES))
        if words.digest in missing
    ]
    DocumentWords.objects.bulk_create(rows, ignore_conflicts=True)


@contextmanager
def as_written_for(recipient: Mapping[str, str]) -> Iterator[Words]:
    """Write in the recipient's language and formats until the end of the block, with the words of its document.

    Documents from before there were languages are English, but for the names of months.
    """
    words, locale = words_of(recipient), recipient.get("locale", "")
    no_words = "words" in recipient and not locale.startswith(words.language)
    with in_locale(locale, english_days=no_words), in_words(words):
        yield words


def words_of(recipient: Mapping[str, str]) -> Words:
    """Give the words of a document. Raises DocumentWords.DoesNotExist where they were never stored."""
    digest = recipient.get("words")
    if digest is None:
        return words_now("en")
    for language in CATALOGUES:
        if words_now(language).digest == digest:
            return words_now(language)
    return _stored(digest)


@functools.lru_cache(maxsize=64)  # stored words never change
def _stored(digest: str) -> Words:
    row = DocumentWords.objects.get(pk=digest)
    return Words(row.language, row.texts, row.labels)
