"""Which error is which status."""

from __future__ import annotations

import math

from mainstay.core import errors
from mainstay.serve import strict, wire


class HttpError(errors.MainstayError):
    """An error that only HTTP knows."""

    status = 400


class NoRequest(HttpError):
    """What came is no request."""

    code = "bad_request"
    default_remedy = "Send HTTP/1.1, each header once and in one line, and either Content-Length or chunks."


class Unauthenticated(HttpError):
    """A key is needed."""

    code = "unauthenticated"
    default_remedy = "Send an API key as `Authorization: Bearer KEY`."
    status = 401


class BadHost(HttpError):
    """The request does not say once whom it calls."""

    code = "bad_host"
    default_remedy = "Send one Host header."
    status = 400


class WrongMethod(HttpError):
    """The route has another method."""

    code = "method_not_allowed"
    default_remedy = "See /docs for the routes."
    status = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed here; allowed: {allowed}")
        self.allowed = allowed


class NoRoute(HttpError):
    """There is no such route."""

    code = "not_found"
    default_remedy = "See /docs for the routes."
    status = 404


class WrongType(HttpError):
    """The body is of another type."""

    code = "unsupported_media_type"
    default_remedy = "Send `Content-Type: application/json`, uncompressed."
    status = 415


class TooMany(HttpError):
    """More requests came than this key or address may send."""

    code = "too_many_requests"
    default_remedy = "Send again after the time in Retry-After, and fewer a second."
    status = 429

    def __init__(self, rate: float, wait_s: float) -> None:
        super().__init__(f"More than {rate:g} requests a second came from here")
        self.rate = rate
        self.wait_s = wait_s


class HeadTooLarge(HttpError):
    """The head of the request is larger than allowed."""

    code = "head_too_large"
    default_remedy = "Send fewer or shorter headers."
    status = 431


class Incomplete(HttpError):
    """The body did not arrive."""

    code = "incomplete"
    default_remedy = "Send the whole body at once."
    status = 400


class TooSlow(Incomplete):
    """The body did not arrive in time."""

    status = 408


class Defect(errors.MainstayError):
    """Something in Mainstay failed."""

    code = "defect"
    default_remedy = "Look at the worker's log; please report it with the traceback found there."


STATUSES: dict[type[errors.MainstayError], int] = {
    errors.MainstayError: 500,
    errors.UsageError: 400,
    strict.Malformed: 400,
    errors.ProjectFileError: 500,
    errors.ContractViolation: 422,
    errors.BadData: 422,
    errors.GateFailed: 409,
    errors.NotEnoughEvidence: 409,
    errors.EnvironmentFault: 503,
    errors.StoreUnavailable: 503,
    errors.JournalFull: 503,
    errors.Damaged: 503,
    errors.Overloaded: 503,
    errors.NotReady: 503,
    errors.RunnerFailed: 503,
    errors.StaleTransition: 409,
    errors.Superseded: 409,
    errors.NotFound: 404,
    errors.IdReused: 409,
    errors.Refused: 403,
    errors.TooLarge: 413,
    errors.ModelOutputInvalid: 500,
    errors.DrillMissed: 500,
}
"""Every class of the tree, each by name: a test finds one that is not here."""

RETRY_AFTER_S = 1
PROBLEMS_TOLD = 5
"""Problems named in an error that is one text."""
TEXT_CHARS = 2000


def status_of(error: errors.MainstayError) -> int:
    """Return the status of an error; a class that is not in the table takes its nearest parent's."""
    if isinstance(error, HttpError):
        return error.status
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def headers_of(error: errors.MainstayError) -> list[tuple[bytes, bytes]]:
    """Return what an error response has beside its body."""
    status = status_of(error)
    if isinstance(error, WrongMethod):
        return [(b"allow", error.allowed.encode())]
    if isinstance(error, TooMany):
        wait = str(max(1, math.ceil(error.wait_s))).encode()
        limit = f"{error.rate:g}".encode()
        return [
            (b"retry-after", wait),
            (b"ratelimit-limit", limit),
            (b"ratelimit-remaining", b"0"),
            (b"ratelimit-reset", wait),
        ]
    if isinstance(error, Incomplete | HeadTooLarge | NoRequest):
        return [(b"connection", b"close")]  # what may still come is the rest of this body, and no request
    if status in (429, 503):
        return [(b"retry-after", str(RETRY_AFTER_S).encode())]
    if status == 401:
        return [(b"www-authenticate", b"Bearer")]
    return []


def body_of(error: errors.MainstayError) -> bytes:
    """Return the one error shape, encoded."""
    return wire.encode(wire.error_response(error))


def text_of(error: errors.MainstayError) -> str:
    """Return an error as one text, for protocols that have no more: what happened, each problem, the remedy."""
    problems = [text for one in error.problems[:PROBLEMS_TOLD] if (text := str(one)) not in error.message]
    parts = (error.message, "; ".join(problems), error.remedy)
    text = ". ".join(part.rstrip(".") for part in parts if part)
    return text[:TEXT_CHARS].encode("utf-8", "replace").decode()
