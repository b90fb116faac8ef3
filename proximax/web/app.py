"""The addresses of the page and what each answers: the page's own files, and JSON about the runs."""

import hashlib
import json
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from proximax.errors import ProximaxError, describe
from proximax.runs import METRICS
from proximax.runtime import proximax_version
from proximax.web.access import CONTENT_POLICY, Access, Guard
from proximax.web.curves import CHARTED, MAX_WIDTH, MAX_WINDOW, SPEED, Axis, Wish, curves_of, extent_of, step_of
from proximax.web.media import open_part, videos_of
from proximax.web.policies import CHECKPOINTS, Policies
from proximax.web.run_list import MAX_RUNS, RunList, short_digest
from proximax.web.run_view import RunView

logger = logging.getLogger(__name__)

READ_S = 0.25  # for which an answer may read metrics; what is left is for the next ones
LIST_S = 0.5  # for which the list of runs is used again, however many viewers ask
MAX_CURVES = 4000  # answers about single runs that are kept
MAX_METRICS = 60  # that are asked for at once
NO_HEADERS: Mapping[str, str] = {}
MEANINGS = {**METRICS, SPEED: "Environment steps per second of all seeds together, over the latest ten updates."}
TEXT_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
TYPES = {name: f"{kind}; charset=utf-8" for name, kind in TEXT_TYPES.items()} | {"gz": "application/gzip"}
# The page that plays policies runs WebAssembly, and no other does.
PLAY_HEADERS = {
    "content-security-policy": CONTENT_POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
}


class Refused(Exception):
    """A request that gets no answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Pages:
    """The page's own files, read once: nothing that a browser asks for becomes a path."""

    def __init__(self) -> None:
        page = resources.files("proximax.web").joinpath("page")
        folders = {"": page, "play/": page.joinpath("play")}  # those of vendor have their names alone
        files = [("", file) for file in page.joinpath("vendor").iterdir()]
        files += [(prefix, file) for prefix, folder in folders.items() for file in folder.iterdir()]
        self._files = {f"{prefix}{file.name}": file.read_bytes() for prefix, file in files if file.is_file()}

    def answer(self, request: Request, name: str, headers: Mapping[str, str] = NO_HEADERS) -> Response:
        """One of them."""
        if name not in self._files:
            raise Refused(404, "there is no such file")
        kind = TYPES.get(name.rpartition(".")[2], "text/plain; charset=utf-8")
        return tagged(request, self._files[name], kind, headers)


class Runs:
    """The runs, and what was read of them, shared by all who look."""

    def __init__(self, run_list: RunList) -> None:
        self._list, self._views, self._policies = run_list, dict[str, RunView](), Policies()
        # Taken in this order: that of the list, that of a view, that of what is kept here.
        self._list_lock, self._kept_lock = threading.Lock(), threading.Lock()
        self._summaries: tuple[float, bytes] = (float("-inf"), b"")
        self._curves: OrderedDict[str, str] = OrderedDict()

    def view(self, run_id: str) -> RunView:
        """A run by its id; ``Refused`` where there is none."""
        found = self._list.runs().get(run_id)
        if found is None:
            raise Refused(404, "there is no such run; it may have been deleted")
        with self._kept_lock:
            view = self._views.get(run_id)
            if view is None or view.found.path != found.path:  # new, or renamed
                view = self._views[run_id] = RunView(found)
            return view

    def summaries(self) -> bytes:
        """The list of runs, as JSON."""
        with self._list_lock:
            made, body = self._summaries
            if time.monotonic() - made > LIST_S:
                runs = self._list.runs()
                with self._kept_lock:
                    self._views = {run_id: view for run_id, view in self._views.items() if run_id in runs}
                listed = []
                for run_id in runs:
                    view = self.view(run_id)
                    with view.lock:
                        listed.append(view.summary())
                folders = list(self._list.folders.values())
                body = as_json({"runs": listed, "left_out": self._list.left_out, "folders": folders})
                self._summaries = time.monotonic(), body
            return body

    def details(self, run_id: str) -> bytes:
        """One run, as JSON."""
        view = self.view(run_id)
        with view.lock:
            view.read_on(time.monotonic() + READ_S)
            return as_json(view.details())

    def policy(self, run_id: str, query: Mapping[str, str]) -> bytes:
        """The policy of a run's checkpoint, as JSON, to be played in the page."""
        view, which, seed = self.view(run_id), query.get("checkpoint", "last"), query.get("seed")
        if which not in CHECKPOINTS or (seed is not None and not re.fullmatch(r"\d{1,9}", seed)):
            raise Refused(400, f"checkpoint: {' or '.join(CHECKPOINTS)}; seed: a number")
        if not view.found.in_place:
            raise Refused(404, "the run is elsewhere by now")
        return self._policies.answer(view.found.path, view.found.name, which, None if seed is None else int(seed))

    def curves(self, known: dict[str, str], wish: Wish) -> bytes:
        """The curves of several runs on one grid, as JSON, as far as their metrics are read.

        ``known``: the runs, each with the tag of the curves that the browser has: they are not sent again.
        """
        runs, deadline, complete = self._list.runs(), time.monotonic() + READ_S, True
        views = [self.view(run_id) for run_id in known if run_id in runs]
        for view in views:
            with view.lock:
                late = time.monotonic() > deadline and not view.reader.complete
                complete &= not late and view.read_on(deadline)
        step = step_of([extent_of(view.reader, wish.axis) for view in views], wish)
        parts = [f'"{view.found.id}":{self._curves_of(view, wish, step, known[view.found.id])}' for view in views]
        head = json.dumps({"step": step, "axis": wish.axis, "complete": complete})
        return f'{head[:-1]},"runs":{{{",".join(parts)}}}}}'.encode()

    def _curves_of(self, view: RunView, wish: Wish, step: float, known: str) -> str:
        """The curves of one run, as JSON; kept until it has new rows."""
        with view.lock:
            tag = short_digest(
                f"{view.found.id} {view.reader.made} {view.reader.version} {wish._replace(width=0)} {step}"
            )
            if tag == known:
                return f'{{"tag":"{tag}"}}'
            with self._kept_lock:
                text = self._curves.get(tag)
            if text is None:
                curves = json.dumps(curves_of(view.reader, wish, step), allow_nan=False, separators=(",", ":"))
                text = f'{{"tag":"{tag}","curves":{curves}}}'
        with self._kept_lock:
            self._curves[tag] = text
            while len(self._curves) > MAX_CURVES:
                self._curves.popitem(last=False)
        return text


def as_json(values: dict[str, Any]) -> bytes:
    """Strict JSON; what is not text in a path or message is escaped."""
    return json.dumps(values, allow_nan=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def tagged(request: Request, body: bytes, kind: str, more: Mapping[str, str] = NO_HEADERS) -> Response:
    """An answer with an ETag, without a body where the browser has it already; ``more``: other headers."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, "content-type": kind, **more}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)


def wish_of(request: Request) -> tuple[dict[str, str], Wish]:
    """(the runs with the tags of what is known of them, what to show) that a query says. Raises ``Refused``."""
    query = request.query_params
    metrics = tuple(dict.fromkeys(query.getlist("metric")))
    runs = {run: tag for run, _, tag in (text.partition(".") for text in query.getlist("run"))}
    axis = query.get("axis", "steps")
    if unknown := [name for name in metrics if name not in CHARTED]:
        raise Refused(400, f"no metric {unknown[0][:60]!r}")
    if axis not in ("steps", "time") or len(runs) > MAX_RUNS or len(metrics) > MAX_METRICS:
        raise Refused(400, "axis must be steps or time; of runs and metrics not so many")
    try:
        width, window = int(query.get("width", "600")), int(query.get("window", "1"))
        begin, end = float(query.get("begin", "0")), float(query.get("end", "inf"))
    except ValueError as error:
        raise Refused(400, "width, window, begin and end must be numbers") from error
    if not (10 <= width <= MAX_WIDTH and 1 <= window <= MAX_WINDOW and 0 <= begin < end):
        raise Refused(400, f"width: 10 to {MAX_WIDTH}; window: 1 to {MAX_WINDOW}; 0 <= begin < end")
    chosen: Axis = "time" if axis == "time" else "steps"
    return runs, Wish(metrics, chosen, width, window, query.get("seeds") == "1", begin, end)


def guarded(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """``answer``, with an answer in JSON for what goes wrong too: a run may be deleted while it is read."""

    def safe(request: Request) -> Response:
        try:
            return answer(request)
        except Refused as error:
            status, text = error.status, str(error)
        except (ProximaxError, OSError) as error:
            status, text = 404, str(error)
        except Exception as error:
            logger.warning(f"the page got no answer to {request.url.path!r}: {describe(error)}")
            status, text = 500, "something went wrong; the server has said what"
        body = as_json({"error": text})
        return Response(body, status, media_type="application/json")

    return safe


def make_app(run_list: RunList, access: Access) -> Guard:
    """The ASGI application of a page about the runs of ``run_list``."""
    pages, runs = Pages(), Runs(run_list)
    about = as_json({"version": proximax_version(), "charted": CHARTED, "meanings": MEANINGS})
    kind = "application/json"

    def video(request: Request) -> Response:
        view, wanted = runs.view(request.path_params["run"]), request.path_params["video"]
        if not view.found.in_place:
            raise Refused(404, "the run is elsewhere by now")
        file = next((file for file in videos_of(view.found.path) if file.id == wanted), None)
        if file is None:
            raise Refused(404, "there is no such video")
        part, status = open_part(file.path, request.headers.get("range"))
        headers = {"content-type": file.type, "accept-ranges": "bytes", "content-length": str(part.end - part.begin)}
        if status == 206:
            headers["content-range"] = f"bytes {part.begin}-{part.end - 1}/{part.size}"
        if status == 416:
            headers["content-range"] = f"bytes */{part.size}"
        if request.method == "HEAD" or status == 416:
            part.file.close()
            return Response(status_code=status, headers=headers)
        return StreamingResponse(part.chunks(), status, headers)

    answers: dict[str, Callable[[Request], Response]] = {
        "/": lambda request: pages.answer(request, "index.html"),
        "/play": lambda request: pages.answer(request, "play.html", PLAY_HEADERS),
        "/static/{name:path}": lambda request: pages.answer(request, request.path_params["name"]),
        "/api/about": lambda request: tagged(request, about, kind),
        "/api/runs": lambda request: tagged(request, runs.summaries(), kind),
        "/api/runs/{run}": lambda request: tagged(request, runs.details(request.path_params["run"]), kind),
        "/api/runs/{run}/videos/{video}": video,
        "/api/runs/{run}/policy": lambda request: tagged(
            request, runs.policy(request.path_params["run"], request.query_params), kind
        ),
        "/api/curves": lambda request: tagged(request, runs.curves(*wish_of(request)), kind),
    }
    return Guard(Starlette(routes=[Route(path, guarded(answer)) for path, answer in answers.items()]), access)
