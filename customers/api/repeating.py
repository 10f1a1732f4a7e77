"""The header Idempotency-Key: a write that carries it is done once, however often it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from customers.api.authentication import KeyHolder
from customers.api.parsing import is_storable
from customers.models import Scope
from customers.repeating import Answer, Write, answer_once

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 200
WRITES = frozenset({"POST", "PATCH", "DELETE"})

Handler = Callable[..., Response]


class RepeatableWrites:
    """A view whose writes may be sent again under an Idempotency-Key: they are done once, and answered alike.

    Not `repeatable` are views whose writes have a name of their own in the body or the address.
    """

    repeatable: ClassVar[bool] = True
    # Fields of an answer that are not stored with it: `tell_again` puts them back.
    stored_nowhere: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def repeats(cls, view: Any, method: str) -> bool:
        """Tell whether a method of a view takes the header: what a key with `read` may send writes nothing."""
        return method in WRITES and view.repeatable and Scope.READ.value not in view.required_scopes["write"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        method = request.method or ""
        handler: Handler | None = getattr(self, method.lower(), None)
        if handler is None or not self.repeats(self, method):
            return
        if (key := key_of(request)) is not None:
            setattr(self, method.lower(), partial(self._answer_once, handler, key))

    def tell_again(self, body: dict[str, Any]) -> dict[str, Any]:
        """Give a stored answer as it is told to who asks again."""
        return body

    def _answer_once(
        self, handler: Handler, key: str, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        holder = request.auth
        assert isinstance(holder, KeyHolder)  # HasScope lets no other in
        write = Write(holder.source, key, f"{request.method} {request.get_full_path()}", request.data)
        given: list[Response] = []

        def do() -> Answer:
            response = handler(request, *args, **kwargs)
            given.append(response)
            assert response.status_code < 300, "a refusal is raised, so that nothing of it is remembered"
            return Answer(response.status_code, self._as_text(response.data))

        answer = answer_once(write, do, now=timezone.now())
        if not answer.is_repeated:
            return given[-1]
        body = self.tell_again(json.loads(answer.body)) if answer.body else None
        return Response(body, status=answer.status, headers={REPLAYED: "true"})

    def _as_text(self, body: Any) -> str:
        if body is None:
            return ""
        if hidden := dict.fromkeys(name for name in self.stored_nowhere if name in body):
            body = {**body, **hidden}
        text: str = JSONRenderer().render(body).decode()
        return text


def key_of(request: Request) -> str | None:
    """Give the Idempotency-Key of a request, None where there is none. Raises ValidationError for no good one."""
    sent = request.headers.get(HEADER)
    if sent is None:
        return None
    key = str(sent).strip()
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable() or not is_storable(key):
        raise ValidationError({HEADER: [f"Send 1 to {LONGEST_KEY} printable characters, such as a UUID."]})
    return key
