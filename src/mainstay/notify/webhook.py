"""Alerts as JSON to a web address: `json://` by HTTP, `jsons://` by HTTPS."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from mainstay.core.errors import EnvironmentFault, Refused, UsageError

TIMEOUT_S = 3.0
ALLOW_PRIVATE = "allow_private"
"""`?allow_private=yes` in the address lets it reach a private network."""
_PORTS = {"json": 80, "jsons": 443}
_YES = frozenset({"yes", "true", "1"})

_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: an IPv4 address in the last 32 bits, which a gateway speaks for."""
_GLOBAL = IPv6Network("2000::/3")
"""RFC 4291: all that is routed on the internet; beside it lie forms that translators turn into others."""
_EXAMPLES = IPv6Network("3fff::/20")
"""RFC 9637: for documents; later than Python's own table."""
_ISATAP = 0x00005EFE
"""RFC 5214: third quarter of the address, an IPv4 address in the last; the bit that says `of this site` left out."""
_COMPATIBLE = IPv6Network("::/96")
"""RFC 4291, 2.5.5.1: deprecated, but some stacks still route it."""

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], list[Address]]


def resolve(host: str, port: int) -> list[Address]:
    """Return every address of a host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EnvironmentFault(f"the alert host {host} cannot be found: {error}") from error
    return [ip_address(str(entry[4][0]).split("%", 1)[0]) for entry in found]


class WebhookNotifier:
    """Posts {"v", "alert_id", "title", "body", "severity"}; anything but a 2xx answer is a failure. Thread-safe.

    The host is resolved once for each alert and that very address is used, so that a name cannot point elsewhere
    between check and use. Redirects are not followed, for they would lead past the check. This machine itself is
    reached where the address says so (`localhost`, 127.0.0.1, ::1), and not by a name that somebody let point here. The
    answer's body is not read.
    """

    def __init__(
        self, address: str, *, resolve: Resolve = resolve, transport: httpx.BaseTransport | None = None
    ) -> None:
        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError as error:
            raise UsageError(f"the webhook's port is wrong: {error}", remedy="Correct `to` in [[alerts]].") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise UsageError(
                "the webhook address names no host; allowed: json://HOST[:PORT]/PATH or jsons://HOST[:PORT]/PATH",
                remedy="Correct `to` in [[alerts]].",
            )
        query = parse_qsl(parts.query, keep_blank_values=True)
        self._secure = parts.scheme == "jsons"
        self._host = parts.hostname
        self._port = port or _PORTS[parts.scheme]
        self._user = (parts.username or "", parts.password or "") if parts.username else None
        rest = urlencode([(name, value) for name, value in query if name != ALLOW_PRIVATE])
        self._path = (parts.path or "/") + (f"?{rest}" if rest else "")
        self._private = any(name == ALLOW_PRIVATE and value.lower() in _YES for name, value in query)
        self._resolve = resolve
        self._transport = transport

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        """Post the alert. Raises Refused for a private address, EnvironmentFault when it was not taken."""
        target = self._allowed_address()
        content = {"v": 1, "alert_id": alert_id, "title": title, "body": body, "severity": severity}
        host = f"[{target}]" if target.version == 6 else str(target)
        scheme = "https" if self._secure else "http"
        try:
            with (
                httpx.Client(
                    auth=self._user,
                    timeout=TIMEOUT_S,
                    trust_env=False,
                    follow_redirects=False,
                    transport=self._transport,
                ) as client,
                client.stream(
                    "POST",
                    f"{scheme}://{host}:{self._port}{self._path}",
                    json=content,
                    headers={"Host": self._host_header(), "Idempotency-Key": alert_id, "Connection": "close"},
                    extensions={"sni_hostname": self._host},
                ) as response,
            ):
                status, taken = response.status_code, response.is_success
        except (httpx.HTTPError, UnicodeError) as error:
            raise EnvironmentFault(f"the webhook at {self._host} was not reached: {type(error).__name__}") from error
        if not taken:
            raise EnvironmentFault(f"the webhook at {self._host} answered {status}; allowed: 200 to 299")

    def _allowed_address(self) -> Address:
        return allowed_address(
            self._host,
            self._port,
            private=self._private,
            resolve=self._resolve,
            remedy=f"If that is meant, add ?{ALLOW_PRIVATE}=yes to the address.",
        )

    def _host_header(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        usual = _PORTS["jsons" if self._secure else "json"]
        return host if self._port == usual else f"{host}:{self._port}"


def allowed_address(host: str, port: int, *, private: bool, resolve: Resolve, remedy: str) -> Address:
    """Return the address to use for a host; Refused where any of its addresses lies in a private network."""
    found = resolve(host, port)
    if not found:
        raise EnvironmentFault(f"the host {host} has no address")
    here = _says_here(host)
    wrong = [address for address in found if not _is_allowed(address, private=private, here=here)]
    if wrong:
        raise Refused(
            f"the host {host} leads into a private network ({wrong[0]}); "
            "allowed: public addresses, and this machine where the address names it",
            remedy=remedy,
        )
    return found[0]


def pinned(request: httpx.Request, *, private: bool, resolve: Resolve, remedy: str) -> httpx.Request:
    """Return the request to the very address that was checked, so that the name cannot point elsewhere meanwhile."""
    url, secure = request.url, request.url.scheme == "https"
    port = url.port or (443 if secure else 80)
    target = allowed_address(url.host, port, private=private, resolve=resolve, remedy=remedy)
    headers = request.headers.copy()
    headers["Host"] = url.netloc.decode()
    host = f"[{target}]" if target.version == 6 else str(target)
    return httpx.Request(
        request.method,
        url.copy_with(host=host),
        headers=headers,
        extensions={**request.extensions, "sni_hostname": url.host},
    )


def _says_here(host: str) -> bool:
    """Return whether a host, as written, is this machine; `2130706433` and `127.1` are 127.0.0.1 too, but hide it."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_allowed(address: Address, *, private: bool, here: bool) -> bool:
    plain = _inner(address)
    if plain.is_multicast or plain.is_unspecified:
        return False
    if private:
        return True
    if plain.is_loopback:
        return here
    if isinstance(plain, IPv6Address) and (plain not in _GLOBAL or plain in _EXAMPLES):
        return False
    return plain.is_global


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, wherever it is written inside; else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    isatap = (int(address) >> 32) & 0xFDFFFFFF == _ISATAP
    if address in _NAT64 or isatap or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
