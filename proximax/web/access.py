"""Who may ask for what: only to read, under a name of this machine, from the page itself, with the token if any.

A page of a stranger's site must not read runs through the browser of who looks at both: by DNS rebinding it could reach
a server on loopback under the site's name, which the ``Host`` header then has.
"""

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from proximax.errors import UsageError

MIN_TOKEN = 16  # characters
LOOPBACK_NAMES = ("localhost",)
TEXT = "text/plain; charset=utf-8"
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}


class Refusal(NamedTuple):
    """What a request is answered with that gets no further."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()


class Access:
    """The rules of a server at ``host``; ``token``: needed by every request, "" on loopback where it is not."""

    def __init__(self, host: str, token: str = "") -> None:
        self.host, self._token = host, token
        self._cookie = hashlib.sha256(f"proximax {token}".encode()).hexdigest() if token else ""
        # Cookies are of a host, not of a port: each server has its own.
        self.cookie_name = f"proximax-{secrets.token_hex(4)}"

    def refuse(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Refusal | None:
        """None where a request is allowed."""
        if not self.knows_host(headers.get("host", "")):
            return Refusal(403, "This server does not answer to that name. Use the address that it printed.\n")
        if method not in ("GET", "HEAD"):
            return Refusal(405, "This page only reads.\n", (("allow", "GET, HEAD"),))
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site not in ("none", "same-origin") and mode != "navigate":
            return Refusal(403, "Another site may not read this.\n")
        return self._refuse_stranger(path, query, headers) if self._token else None

    def knows_host(self, header: str) -> bool:
        """Whether a ``Host`` header names this machine; a port, which a tunnel may change, is not looked at.

        An address is as good as a name here: it cannot be rebound.
        """
        name = header.rsplit(":", 1)[0] if not header.endswith("]") and ":" in header else header
        name = name.lower().rstrip(".")
        address = address_of(name.strip("[]"))
        if address is not None:
            return address.is_loopback or not is_loopback(self.host)
        if name in LOOPBACK_NAMES:
            return True
        own = {self.host.lower(), socket.gethostname().lower()}
        return not is_loopback(self.host) and name in own

    def _refuse_stranger(self, path: str, query: str, headers: Mapping[str, str]) -> Refusal | None:
        given = parse_qs(query).get("token", [""])[0]
        if path == "/" and given and same(given, self._token):  # the address bar need not keep it
            value = f"{self.cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"
            return Refusal(303, "", (("location", "/"), ("set-cookie", value)))
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        cookies = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
        known = [value for name, _, value in cookies if name == self.cookie_name]
        if same(bearer, self._token) or any(same(value, self._cookie) for value in known):
            return None
        text = "This page needs a token: open the address that the server printed, or /?token=TOKEN.\n"
        return Refusal(401, text, (("www-authenticate", "Bearer"),))


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing of either."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    address = address_of(host)
    return address.is_loopback if address is not None else host.lower() in LOOPBACK_NAMES


def check_token(host: str, token: str) -> None:
    """Refuse a host that others can reach without a token, and tokens that can be guessed: ``UsageError``."""
    if not token and not is_loopback(host):
        example = secrets.token_urlsafe(24)
        raise UsageError(
            f"host {host}: other machines can reach it, so that it needs a token, as in --token {example}. Or stay on "
            "loopback and reach it by a tunnel: ssh -L PORT:localhost:PORT MACHINE"
        )
    if token and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(f"token: must have at least {MIN_TOKEN} characters, of ASCII, without spaces")


class Guard:
    """Asks ``access`` before ``app`` is asked, and adds the headers that every answer has."""

    def __init__(self, app: Any, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            return
        sender = HeaderSender(send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        refusal = self._access.refuse(scope["method"], scope["path"], query, headers)
        if refusal is None:
            await self._app(scope, receive, sender)
            return
        body = refusal.text.encode()
        fields = {"content-type": TEXT, "content-length": str(len(body)), **dict(refusal.headers)}
        start = {"type": "http.response.start", "status": refusal.status, "headers": encoded(fields)}
        await sender(start)
        await sender({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class HeaderSender:
    """Sends on, with ``HEADERS`` added."""

    def __init__(self, send: Any) -> None:
        self._send = send

    async def __call__(self, message: Any) -> None:
        """One message of an answer."""
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            extra = [field for field in encoded(HEADERS) if field[0] not in given]
            message = {**message, "headers": [*message["headers"], *extra]}
        await self._send(message)


def encoded(fields: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
