"""Pages of records: from an HTTP address with paging, a file or pattern, or an SQL query."""

from __future__ import annotations

import csv
import glob
import io
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from mainstay.config.settings import SourceSettings
from mainstay.core.errors import BadData, EnvironmentFault, Refused, UsageError
from mainstay.core.ports import Clock
from mainstay.notify import webhook
from mainstay.pulled.retry import AGAIN, Busy, Patience, retry_after_s
from mainstay.store import outside

MOST_BYTES = 64_000_000
MOST_PAGES = 100_000
FILE_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """One record as it came."""

    text: str
    """Bytes that are no UTF-8 stand as `\\udcXX` in it."""
    record: Mapping[str, Any] | None
    """None where it is no object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads one source."""

    source: SourceSettings
    root: Path
    clock: Clock
    luck: random.Random
    environ: Mapping[str, str]
    transport: httpx.BaseTransport | None = None
    resolve: webhook.Resolve = webhook.resolve

    def pages(self, after: str) -> Iterator[list[Raw]]:
        """Yield records at or behind the high-water mark `after` (empty: all), page by page, in the source's order.

        Raises EnvironmentFault where it does not answer, Refused for an address that is not allowed, BadData for what
        is no list of records.
        """
        address = self.source.address
        if address.startswith(("http://", "https://")):
            yield from self._http(after)
        elif "://" in address:
            yield from self._sql(after)
        else:
            yield from self._files()

    def _http(self, after: str) -> Iterator[list[Raw]]:
        source, here = self.source, urlsplit(self.source.address)
        patience = Patience(attempts=source.attempts, clock=self.clock, luck=self.luck)
        headers = {"Accept": "application/json"}
        if source.token_env:
            token = self.environ.get(source.token_env)
            if not token:
                raise EnvironmentFault(f"the variable {source.token_env} with the source's token is not set")
            headers["Authorization"] = f"Bearer {token}"
        url: str | None = source.address
        params: dict[str, str] = {source.after: after} if after else {}
        with httpx.Client(
            timeout=source.timeout_s, trust_env=False, follow_redirects=False, transport=self.transport
        ) as client:
            for number in range(MOST_PAGES):
                if number:
                    self.clock.sleep(1.0 / source.requests_per_s)
                request = client.build_request("GET", str(url), params=params or None, headers=headers)
                body = patience.of(partial(self._get, client, request), f"the source at {here.hostname}")
                page, following = _read_page(body, source)
                yield page
                if not following:
                    return
                if following.startswith(("http://", "https://", "/", "?")):
                    url, params = urljoin(str(request.url), following), {}
                    if urlsplit(url)[:2] != here[:2]:
                        raise Refused(f"the source's next page leads to another host: {urlsplit(url).hostname}")
                else:
                    params = params | {source.next: following}
        raise BadData(f"the source has more than {MOST_PAGES:,} pages")

    def _get(self, client: httpx.Client, request: httpx.Request) -> bytes:
        pinned = webhook.pinned(
            request,
            private=self.source.allow_private,
            resolve=self.resolve,
            remedy="If that is meant, say allow_private = true of the source.",
        )
        try:
            response = client.send(pinned, stream=True)
        except (httpx.TimeoutException, httpx.TransportError) as error:
            raise Busy(_plain(error)) from error
        try:
            if response.status_code in AGAIN:
                wait = retry_after_s(response.headers.get("Retry-After"), self.clock.now())
                raise Busy(f"status {response.status_code}", wait_s=wait)
            if response.status_code != 200:
                raise _refusal(response, self.source)
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise BadData(f"a page is larger than {MOST_BYTES // 1_000_000} MB")
            return bytes(body)
        except httpx.HTTPError as error:  # cut off in the middle of a page
            raise Busy(_plain(error)) from error
        finally:
            response.close()

    def _files(self) -> Iterator[list[Raw]]:
        pattern = str((self.root / Path(self.source.address).expanduser()).absolute())
        paths = sorted(Path(name) for name in glob.glob(pattern) if Path(name).is_file())  # noqa: PTH207 - absolute
        if not paths:
            raise EnvironmentFault(f"no file fits {self.source.address}")
        for path in paths:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            if path.suffix == ".csv":
                found = [_of_row(row) for row in csv.DictReader(io.StringIO(text))]
            elif path.suffix in (".ndjson", ".jsonl"):
                found = [_of_line(line) for line in text.splitlines() if line.strip()]
            else:
                raise UsageError(f"{path.name} is of no known kind", remedy="Files may end in .csv, .ndjson, .jsonl.")
            for start in range(0, len(found), FILE_PAGE):
                yield found[start : start + FILE_PAGE]

    def _sql(self, after: str) -> Iterator[list[Raw]]:
        rows = outside.rows(self.source.address, self.source.query or "", after)
        page: list[Raw] = []
        for row in rows:
            page.append(Raw(text=json.dumps(row, default=str, ensure_ascii=False), record=row))
            if len(page) >= FILE_PAGE:
                yield page
                page = []
        if page:
            yield page


def _plain(error: httpx.HTTPError) -> str:
    """Return what happened to a connection, in words."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer within timeout_s"
    if isinstance(error, httpx.ConnectError):
        return "nobody takes the connection"
    return "the connection broke off" if isinstance(error, httpx.TransportError) else type(error).__name__


def _refusal(response: httpx.Response, source: SourceSettings) -> EnvironmentFault:
    code = response.status_code
    if code in (401, 403):
        held = f"the token in {source.token_env} was sent" if source.token_env else "no token was sent"
        remedy = "Name the variable with a token that may read it: token_env = … of the source."
        return EnvironmentFault(f"the source answered {code}: it lets nobody in ({held})", remedy=remedy)
    if response.is_redirect:
        place = urlsplit(response.headers.get("Location", "")).hostname or "another path"
        remedy = "Declare the address that it leads to, if that is right: no redirect is followed."
        return EnvironmentFault(f"the source answered {code}, a redirect to {place}", remedy=remedy)
    return EnvironmentFault(
        f"the source answered {code}; allowed: 200", remedy="Correct the source's address, or ask who runs it."
    )


def _read_page(body: bytes, source: SourceSettings) -> tuple[list[Raw], str]:
    try:
        page = json.loads(body.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise BadData(
            f"the source answered no JSON: {error}",
            remedy="It must answer a list of records, or an object that holds one. Is that the address?",
        ) from error
    items = page if isinstance(page, list) else page.get(source.items) if isinstance(page, dict) else None
    if not isinstance(items, list):
        raise BadData(f"the source's page has no list {source.items!r}", remedy="Name it: items = … of the source.")
    following = page.get(source.next) if isinstance(page, dict) else None
    found = [
        Raw(
            text=json.dumps(item, ensure_ascii=False),
            record=item if isinstance(item, dict) else None,
        )
        for item in items
    ]
    return found, str(following) if following not in (None, "", False) else ""


def _of_line(line: str) -> Raw:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    return Raw(text=line, record=record if isinstance(record, dict) else None)


def _of_row(row: Mapping[str, Any]) -> Raw:
    known = {name: None if value == "" else value for name, value in row.items() if name is not None}
    whole = None not in row and all(value is not None or row[name] == "" for name, value in known.items())
    return Raw(text=json.dumps(row, ensure_ascii=False, default=str), record=known if whole else None)
