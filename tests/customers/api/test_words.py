"""Refusals in our own words: which field, and what to send instead."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.core import validators
from django.core.exceptions import ValidationError as DjangoError
from django.test import Client
from rest_framework import serializers

from customers.api.parsing import UNSTORABLE
from customers.api.words import choice_words, own_words
from tests.factories import make_customer, make_meter
from tests.integrator import Integrator


class Sample(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=3, min_length=2)
    flag = serializers.BooleanField()
    whole = serializers.IntegerField(min_value=1, max_value=9)
    day = serializers.DateField()
    instant = serializers.DateTimeField()
    texts = serializers.ListField(child=serializers.CharField(), min_length=1, allow_empty=False)
    exact = serializers.DecimalField(max_digits=3, decimal_places=1)
    email = serializers.EmailField()
    url = serializers.URLField()
    uuid = serializers.UUIDField()
    by_name = serializers.DictField()


@pytest.mark.parametrize(
    ("name", "sent", "ours"),
    [
        ("text", None, "It cannot be null. Send a value."),
        ("text", "", "It cannot be empty. Send some text."),
        ("text", [], "Send text."),
        ("text", "abcd", "It is too long. Send 3 at most."),
        ("text", "a", "It is too short. Send 2 at least."),
        ("text", "a\x00", UNSTORABLE),
        ("text", "\ud800b", UNSTORABLE),
        ("flag", "maybe", "Send true or false."),
        ("whole", "1.5", "Send a whole number."),
        ("whole", "1" * 2000, "It is too long for a number. Send fewer digits."),
        ("whole", 0, "Send 1 or more."),
        ("whole", 10, "Send 9 at most."),
        ("day", "2026-02-30", "Send a day such as 2026-10-31."),
        ("instant", "now", "Send an instant such as 2026-10-31T10:00:00Z."),
        ("texts", "x", "Send a list."),
        ("texts", [], "Send one at least."),
        ("exact", "x", "Send a number."),
        ("exact", "12.34", "Send 3 digits in total at most."),
        ("exact", "1.23", "Send 1 digits after the point at most."),
        ("email", "x", "This is no e-mail address. Send one such as billing@acme.example."),
        ("url", "x", "This is no address. Send one such as https://hooks.example.com/billing."),
        ("uuid", "x", "Send a UUID."),
        ("by_name", [], "Send an object with fields."),
    ],
)  # fmt: skip
def test_a_field_says_what_to_send_instead(name: str, sent: Any, ours: str) -> None:
    serializer = Sample(data={name: sent}, partial=True)
    assert not serializer.is_valid()
    assert [own_words(str(each)) for each in serializer.errors[name]] == [ours]


def test_a_missing_field_says_so() -> None:
    serializer = Sample(data={})
    assert not serializer.is_valid()
    assert {own_words(str(told[0])) for told in serializer.errors.values()} == {"It is missing. Send it."}


def test_validators_of_models_say_it_alike() -> None:
    with pytest.raises(DjangoError) as refused:
        validators.MaxLengthValidator(3)("abcd")
    assert own_words(refused.value.messages[0]) == "It is too long. Send 3 characters at most."
    with pytest.raises(DjangoError) as refused:
        validators.MaxValueValidator(Decimal("9.5"))(10)
    assert own_words(refused.value.messages[0]) == "Send 9.5 at most."


def test_our_own_sentences_stay() -> None:
    assert own_words("There is no plan “x”.") == "There is no plan “x”."


def test_many_choices_are_not_all_told() -> None:
    assert choice_words(["", "a", None, "b"]) == "Choose one of: a, b."
    assert choice_words(map(str, range(42))).endswith("38, 39 and 2 more.")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "A\x00"}, "name"),
        ({"name": "A", "traits": {"a": ["ok", "\ud800"]}}, "traits.a.1"),
        ({"name": "A", "traits": {"a\x00": 1}}, "traits"),
        ({"name": "A", "\x00": 1}, "_"),
    ],
)
def test_a_character_that_cannot_be_stored_is_named_by_its_path(
    integrator: Integrator, body: dict[str, Any], path: str
) -> None:
    status, answer = integrator.post("customers/", body)
    assert (status, list(answer["error"]["fields"])) == (400, [path])
    assert "cannot be stored" in answer["error"]["message"]


def test_a_field_that_is_sent_twice_is_named(integrator: Integrator) -> None:
    status, answer = integrator.send("customers/", '{"name": "A", "name": "B"}')
    assert (status, answer["error"]["fields"]) == (400, {"name": ["It is sent twice. Send it once."]})


@pytest.mark.parametrize(
    ("route", "sentence"),
    [
        ("disputes/999999999999999999999/", "There is no dispute “999999999999999999999”."),
        ("disputes/x/", "There is no dispute “x”."),
        ("disputes/1/", "There is no dispute 1."),
        ("budgets/12/", "There is no budget “12”."),
        ("meters/a b/", "There is no meter “a b”."),
        ("meters/unknown/", "There is no meter “unknown”."),
        ("subscriptions/x/changes/", "There is no subscription “x”."),
        ("nothing/1/", "There is nothing at /api/v1/nothing/1/. The addresses are listed at /api/docs/."),
        ("meters/x/nothing/", "There is nothing at /api/v1/meters/x/nothing/. The addresses are listed at /api/docs/."),
    ],
)  # fmt: skip
def test_a_thing_that_is_not_there_is_called_by_its_noun(
    integrator: Integrator, route: str, sentence: str
) -> None:
    status, answer = integrator.get(route)
    assert (status, answer["error"]["code"], answer["error"]["message"]) == (404, "not_found", sentence)


def test_a_page_that_is_not_there_names_its_parameter(integrator: Integrator) -> None:
    status, answer = integrator.get("meters/", page="7")
    assert (status, list(answer["error"]["fields"])) == (404, ["page"])


def test_choices_are_told_by_fields_and_filters(integrator: Integrator) -> None:
    make_customer()
    make_meter()
    _, answer = integrator.post("meters/", {"label": "x", "type": "median"})
    assert answer["error"]["fields"]["type"][0].startswith("Choose one of: count, sum, max")
    _, answer = integrator.get("tax-rates/", category="x")
    assert answer["error"]["fields"]["category"] == [
        "Choose one of: standard, reduced, digital, services, exempt."
    ]
    _, answer = integrator.post("subscriptions/", {"customer": "x", "plan": "y", "start_on": "2026-10-01"})
    assert answer["error"]["fields"] == {
        "customer": ["There is no customer “x”."],
        "plan": ["There is no plan “y”."],
    }


def test_a_method_and_a_type_that_are_not_served_name_those_that_are(integrator: Integrator) -> None:
    response = integrator.client.put("/api/v1/meters/", "{}", content_type="application/json")
    assert response.status_code == 405
    assert response.json()["error"]["message"] == "PUT is not served at this address. Use GET, HEAD or POST."
    response = integrator.client.options("/api/v1/events/")
    assert response.status_code == 405
    assert response.json()["error"]["message"] == "OPTIONS is not served at this address. Use POST."
    response = integrator.client.post("/api/v1/meters/", "a=1", content_type="text/plain")
    assert response.status_code == 415
    assert response.json()["error"]["message"] == (
        "The body is of a type that is not read here. Send it as application/json in the header Content-Type."
    )


@pytest.mark.parametrize(
    ("body", "fields", "message"),
    [
        (
            "null",
            {"_": ["Send one JSON object with named fields."]},
            "Send one JSON object with named fields.",
        ),
        (
            f'{{"name": {"1" * 5000}}}',
            {},
            "The body is not readable JSON: a number has more than 1,000 digits.",
        ),
        ('{"name": "Acme", "parent": {"code": "x"}}', {"parent": ["Send the code of a customer."]}, None),
        ('{"name": "Acme", "parent": true}', {"parent": ["Send the code of a customer."]}, None),
    ],
)
def test_a_body_that_is_no_object_and_a_value_that_is_no_code_are_told_in_our_words(
    integrator: Integrator, body: str, fields: dict[str, list[str]], message: str | None
) -> None:
    status, answer = integrator.send("customers/", body)
    assert (status, answer["error"]["fields"]) == (400, fields)
    assert message in (None, answer["error"]["message"])


@pytest.mark.parametrize("route", ["events/", "meters/", "plans/support/activate/"])
def test_a_body_in_chunks_is_refused_instead_of_taken_for_none(integrator: Integrator, route: str) -> None:
    status, answer = integrator.send(route, "", Transfer_Encoding="chunked")
    assert (status, answer["error"]["code"]) == (400, "parse_error")
    assert answer["error"]["message"].endswith("Send it with a Content-Length.")


def test_who_sends_no_key_is_told_how() -> None:
    answer = Client().get("/api/v1/meters/").json()["error"]
    assert answer["code"] == "not_authenticated"
    assert "Authorization as Bearer KEY" in answer["message"]


def test_who_sends_too_much_is_told_when_to_come_back(integrator: Integrator, settings: Any) -> None:
    settings.API_RATE = "1/min"
    integrator.get("meters/")
    status, answer = integrator.get("meters/")
    assert (status, answer["error"]["code"]) == (429, "throttled")
    assert re.search(r"Send it again in \d+ seconds\.", answer["error"]["message"])


def test_an_address_is_known_without_a_key() -> None:
    assert Client().get("/api/v1/disputes/x/").status_code == 404
