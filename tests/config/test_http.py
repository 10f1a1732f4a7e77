"""What every request meets: security headers, the optional slash, one shape of refusal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.db import OperationalError
from django.http import Http404, HttpRequest
from django.test import Client
from django.urls import include, path
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.errors import BillingError, PlanFrozen
from config import urls
from customers.api.strictness import unknown_fields
from customers.errors import UnknownCustomer

raised: list[Exception] = []


class Echo(APIView):
    """Answers a write with what it got, or raises what the test asked for."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response({"path": request.path})

    def post(self, request: Request) -> Response:
        if raised:
            raise raised[0]
        return Response({"path": request.path, "body": request.data})


def fail(request: HttpRequest) -> None:
    raise ZeroDivisionError


urlpatterns = [
    path("api/echo/", Echo.as_view()),
    path("api/fail/", fail),
    path("", include(urls.urlpatterns)),
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def nothing_raised() -> Iterator[None]:
    yield
    raised.clear()


def refusal(error: Exception, client: Client) -> tuple[int, dict[str, object]]:
    raised.append(error)
    response = client.post("/api/echo/", {"a": 1}, content_type="application/json")
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"code", "message", "fields"}
    return response.status_code, response.json()["error"]


class TestSlash:
    @pytest.mark.parametrize("address", ["/api/echo", "/api/echo/"])
    def test_a_write_arrives_with_and_without_trailing_slash(self, client, address):
        response = client.post(address, {"a": 1}, content_type="application/json")
        assert response.status_code == 200
        assert response.json() == {"path": "/api/echo/", "body": {"a": 1}}

    @pytest.mark.parametrize("address", ["/api/echo", "/api/echo/"])
    def test_reading_the_api_is_not_redirected_either(self, client, address):
        assert client.get(f"{address}?q=1").json() == {"path": "/api/echo/"}

    def test_a_write_outside_the_api_is_not_redirected(self, client):
        assert client.post("/health").status_code == 405

    def test_a_page_is_redirected_to_its_address(self, client):
        response = client.get("/health")
        assert (response.status_code, response["Location"]) == (301, "/health/")


class TestHeaders:
    def test_pages_run_only_their_own_scripts(self, client):
        policy = client.get("/api/docs/")["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "script-src" not in policy
        assert "unsafe-eval" not in policy

    def test_the_admin_evaluates_its_own_expressions_but_runs_no_inline_script(self, client):
        policy = client.get("/admin/login/")["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval'" in policy
        assert "script-src 'self' 'unsafe-eval' 'unsafe-inline'" not in policy

    def test_no_page_can_be_framed_or_its_type_guessed(self, client):
        response = client.get("/admin/login/")
        assert response["X-Frame-Options"] == "DENY"
        assert response["X-Content-Type-Options"] == "nosniff"


class TestPlainHttpInProduction:
    @pytest.fixture(autouse=True)
    def redirect(self, settings) -> None:
        settings.SECURE_SSL_REDIRECT = True

    def test_a_page_is_redirected_to_https(self, client):
        assert client.get("/admin/login/")["Location"] == "https://testserver/admin/login/"

    def test_the_api_is_refused_instead_of_redirected(self, client):
        response = client.post("/api/echo/", {"a": 1}, content_type="application/json")
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "https_required"

    def test_https_passes(self, client):
        assert client.post("/api/echo/", {}, content_type="application/json", secure=True).status_code == 200


class TestRefusals:
    def test_an_error_of_an_app_keeps_its_code_and_names_its_field(self, client):
        assert refusal(UnknownCustomer("There is no customer acme."), client) == (
            400,
            {
                "code": "unknown_customer",
                "message": "There is no customer acme.",
                "fields": {"customer": ["There is no customer acme."]},
            },
        )

    def test_several_fields_of_an_app_error_are_passed_on(self, client):
        error = BillingError("No.", fields={"rates.0.tiers": "The last tier must be open."})
        assert refusal(error, client)[1]["fields"] == {"rates.0.tiers": ["The last tier must be open."]}

    def test_the_wrong_state_is_a_conflict(self, client):
        assert refusal(PlanFrozen("Frozen."), client)[0] == 409

    def test_a_model_that_does_not_validate_names_the_field(self, client):
        status, error = refusal(ValidationError({"code": ["Too long."]}), client)
        assert (status, error["code"], error["message"]) == (400, "invalid", "code: Too long.")
        assert error["fields"] == {"code": ["Too long."]}

    def test_a_validation_without_field_is_about_the_whole(self, client):
        status, error = refusal(ValidationError("Dates overlap."), client)
        assert (status, error["message"], error["fields"]) == (
            400,
            "Dates overlap.",
            {"_": ["Dates overlap."]},
        )

    def test_a_nested_serializer_error_is_named_by_its_path(self, client):
        _, error = refusal(
            serializers.ValidationError({"rates": [{}, {"unit_amount": ["A number."]}]}), client
        )
        assert error["message"] == "rates.1.unit_amount: A number."

    @pytest.mark.parametrize(
        ("raised_error", "status", "code"),
        [
            (Http404("No meter x."), 404, "not_found"),
            (PermissionDenied("Not yours."), 403, "permission_denied"),
            (exceptions.NotFound(), 404, "not_found"),
            (exceptions.UnsupportedMediaType("text/csv"), 415, "unsupported_media_type"),
            (exceptions.Throttled(wait=3), 429, "throttled"),
            (exceptions.ParseError("Line 3."), 400, "parse_error"),
            (RequestDataTooBig(), 413, "too_large"),
        ],
    )
    def test_framework_errors_have_the_same_shape(self, client, raised_error, status, code):
        found, error = refusal(raised_error, client)
        assert (found, error["code"]) == (status, code)
        assert error["message"]

    def test_a_lost_database_is_said_to_be_worth_a_second_try(self, client, caplog):
        raised.append(OperationalError("server closed the connection unexpectedly: secret detail"))
        response = client.post("/api/echo/", {})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "database_unavailable")
        assert response["Retry-After"] == "5"
        assert "secret detail" not in response.content.decode()
        assert "POST /api/echo/" in caplog.text

    def test_a_throttled_client_is_told_when_to_come_back(self, client):
        raised.append(exceptions.Throttled(wait=2.2))
        assert client.post("/api/echo/", {})["Retry-After"] == "3"

    def test_a_body_that_is_not_json_is_the_callers_error(self, client):
        response = client.post("/api/echo/", "{", content_type="application/json")
        assert (response.status_code, response.json()["error"]["code"]) == (400, "parse_error")

    def test_an_unknown_address_of_the_api_answers_in_json(self, client):
        response = client.get("/api/v9/nothing/")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")

    def test_an_unknown_page_answers_in_html(self, client):
        response = client.get("/nothing/")
        assert response.status_code == 404
        assert response["Content-Type"].startswith("text/html")

    def test_a_failure_says_so_without_details(self, client):
        client.raise_request_exception = False
        response = client.get("/api/fail/")
        assert (response.status_code, response.json()["error"]["code"]) == (500, "server_error")
        assert "ZeroDivision" not in response.content.decode()

    def test_a_host_that_is_not_ours_is_refused(self, client):
        assert client.get("/api/echo/", headers={"host": "evil.example"}).status_code == 400

    def test_unknown_fields_are_named_with_the_known_ones(self):
        assert unknown_fields({"kode": 1, "name": 2}, ["name", "code"]) == {
            "kode": ["Unknown field. Known fields: code, name."]
        }


@pytest.mark.django_db
def test_health_asks_the_database(client, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert client.get("/health/").content == b"ok\n"


def test_the_schema_and_its_page_need_no_network(client):
    assert client.get("/api/schema/").status_code == 200
    page = client.get("/api/docs/").content.decode()
    assert "https://" not in page
    assert "/static/drf_spectacular_sidecar/" in page


class TestWhatPagesAloneHave:
    def test_a_session_does_not_reach_the_api(self, admin_client):
        assert admin_client.get("/admin/").status_code == 200
        response = admin_client.get("/api/v1/meters/")
        assert (response.status_code, response.json()["error"]["code"]) == (401, "not_authenticated")
        assert not response.cookies

    def test_a_form_without_its_token_is_refused_outside_the_api_alone(self):
        strict = Client(enforce_csrf_checks=True)
        assert strict.post("/admin/login/", {"username": "a", "password": "b"}).status_code == 403
        assert strict.post("/api/echo/", {"a": 1}, content_type="application/json").status_code == 200

    def test_a_host_that_is_not_ours_is_refused_by_the_api_too(self, client):
        assert client.get("/api/echo/", headers={"host": "elsewhere.example"}).status_code == 400
