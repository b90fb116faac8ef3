"""Ask an ASGI application one thing, without a socket."""

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as strict JSON."""
        return json.loads(self.body, parse_constant=lambda text: 1 / 0)


def ask(app: Any, address: str, method: str = "GET", query: Any = (), **headers: str) -> Answer:
    """An answer; ``headers``: ``host`` and others, with ``_`` for ``-``."""
    fields = {"host": "127.0.0.1:6066"} | {name.replace("_", "-"): value for name, value in headers.items()}
    parts = urlsplit(address)
    text = urlencode(query, doseq=True) or parts.query
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http"}
    scope |= {"path": parts.path, "raw_path": parts.path.encode(), "query_string": text.encode(), "root_path": ""}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in fields.items()]}
    scope |= {"server": ("127.0.0.1", 6066), "client": ("127.0.0.1", 1)}
    sent: list[Any] = []
    questions = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return questions.pop() if questions else await asyncio.Event().wait()  # who asks does not go away

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    head = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))
