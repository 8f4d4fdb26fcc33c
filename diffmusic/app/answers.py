"""What each address of the page answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

import diffmusic
from diffmusic.app import outcome, tiles
from diffmusic.app.library import Library, sweep
from diffmusic.app.lines import line, words
from diffmusic.app.overview import COLUMN, PEAK
from diffmusic.app.queue import Job, Queue
from diffmusic.app.reading import described, number, read_form
from diffmusic.audio import files
from diffmusic.errors import InputError

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_NEVER = {"cache-control": "no-store"}
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


class Answers:
    """State of the server, and its answers."""

    def __init__(self, limit: int, paths: Sequence[Path]) -> None:
        """limit: bytes of the largest upload. paths: recordings that are open from the beginning."""
        self.library = Library(limit)
        self.queue = Queue(lambda job: outcome.finished(job, self.library))
        self.forms: asyncio.Task[dict[str, Any]] | None = None
        self.count = 0
        for path in paths:
            self.library.open(path, str(path))

    def routes(self) -> list[Route]:
        """All addresses, below the token."""
        get, post, delete = ["GET"], ["POST"], ["DELETE"]
        return [
            Route("/", self.page, methods=get),
            Route("/page/{name}", self.page, methods=get),
            Route("/state", self.state, methods=get),
            Route("/forms", self.answer_forms, methods=get),
            Route("/files", self.receive, methods=post),
            Route("/files/{key}", self.close_file, methods=delete),
            Route("/files/{key}/audio", self.audio, methods=get),
            Route("/files/{key}/info", self.info, methods=get),
            Route("/wave/{key}/{zoom:int}/{number:int}", self.wave, methods=get),
            Route("/spectrum/{key}/{zoom:int}/{number:int}", self.spectrum, methods=get),
            Route("/pcm/{key}", self.pcm, methods=get),
            Route("/detect/{key}", self.detect, methods=post),
            Route("/line", self.line, methods=post),
            Route("/estimate", self.estimate, methods=post),
            Route("/jobs", self.add, methods=post),
            Route("/jobs/{key}", self.remove, methods=delete),
            Route("/jobs/{key}/cancel", self.cancel, methods=post),
            Route("/jobs/{key}/record", self.record, methods=get),
            Route("/jobs/{key}/estimate", self.so_far, methods=get),
            Route("/jobs/{key}/estimate.png", self.so_far_drawn, methods=get),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the queue while the server runs, and leave nothing behind."""
        sweep()
        self.forms = asyncio.create_task(described())
        running = asyncio.create_task(self.queue.run())
        try:
            yield
        finally:
            running.cancel()
            self.forms.cancel()
            await self.queue.close()
            self.library.close()

    async def page(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params.get("name", "index.html")
        file = resources.files("diffmusic.app") / "page" / name
        suffix = Path(name).suffix
        if suffix not in _TYPES or "/" in name or not file.is_file():
            return Response("not found\n", 404, media_type="text/plain")
        return Response(file.read_bytes(), media_type=_TYPES[suffix])

    async def state(self, _request: Request) -> Response:
        """Every recording and every job."""
        recordings = [item.describe() for item in self.library.items.values()]
        jobs = [job.describe() for job in self.queue.jobs.values()]
        return JSONResponse({"version": diffmusic.__version__, "recordings": recordings, "jobs": jobs})

    async def answer_forms(self, _request: Request) -> Response:
        """Operators, solvers, models and their parameters."""
        return JSONResponse(await self._forms())

    async def receive(self, request: Request) -> Response:
        """Take in a file, whose content is the body."""
        announced = request.headers.get("content-length", "")
        name, size = request.query_params.get("name", ""), int(announced) if announced.isdecimal() else None
        item = await self.library.receive(name, request.stream(), size)
        return JSONResponse(item.describe())

    async def close_file(self, request: Request) -> Response:
        """Close a recording, with the jobs that are about it."""
        key = request.path_params["key"]
        for job in [job for job in self.queue.jobs.values() if job.file == key]:
            await self.queue.cancel(job.key)
            self._forget(job.key)
        self.library.remove(key)
        return Response(status_code=204)

    async def info(self, request: Request) -> Response:
        """What is known of a recording, or of the difference of two."""
        return JSONResponse(self.library[request.path_params["key"]].describe())

    async def audio(self, request: Request) -> Response:
        """The file of a recording, as it is."""
        item = self.library[request.path_params["key"]]
        if item.path is None:
            raise InputError("a difference has no file")
        return FileResponse(item.path, filename=item.name, media_type="application/octet-stream")

    async def wave(self, request: Request) -> Response:
        """A tile of a waveform: int16, lowest and highest sample of each pixel, channel after channel."""
        return await self._tile(
            request, PEAK, lambda *tile: tiles.waveform(*tile).tobytes(), "application/octet-stream"
        )

    async def spectrum(self, request: Request) -> Response:
        """A tile of a spectrogram, as a PNG."""
        top = min(255, number(request, "top", 240))
        return await self._tile(
            request, COLUMN, lambda *tile: tiles.picture(tiles.spectrogram(*tile), top), "image/png"
        )

    async def _tile(self, request: Request, base: int, draw: Callable[..., bytes], kind: str) -> Response:
        item = self.library[request.path_params["key"]]
        zoom, number = request.path_params["zoom"], request.path_params["number"]
        tiles.check(item.source, zoom, number)
        whole = tiles.covered(item.overview, zoom, number, base)
        content = await asyncio.to_thread(draw, item.source, item.overview, zoom, number)
        # A tile that is not all there yet is asked for again.
        headers = _FOREVER if whole else {"cache-control": "no-store", "x-partial": "1"}
        return Response(content, media_type=kind, headers=headers)

    async def pcm(self, request: Request) -> Response:
        """Samples for the player."""
        item = self.library[request.path_params["key"]]
        first, count = (number(request, name) for name in ("first", "count"))
        return Response(await asyncio.to_thread(item.pcm, first, count), media_type="application/octet-stream")

    async def detect(self, request: Request) -> Response:
        """What ``diffmusic detect`` finds."""
        item = self.library[request.path_params["key"]]
        return JSONResponse(json.loads(await self.queue.output(["detect", str(item.path), "--json"])))

    async def line(self, request: Request) -> Response:
        """The command of a form."""
        return JSONResponse({"line": (await self._commands(request))[1]})

    async def estimate(self, request: Request) -> Response:
        """What the command of a form would take."""
        argv, *_ = await self._commands(request)
        return JSONResponse(json.loads(await self.queue.output([*argv, "--dry-run", "--json"])))

    async def add(self, request: Request) -> Response:
        """Put the command of a form into the queue."""
        argv, shown, item, title = await self._commands(request)
        folder = self.library.place("job")
        self.count += 1
        job = Job(f"j{self.count}", item, [*argv, "-o", str(folder)], shown, title, folder)
        self.queue.add(job)
        return JSONResponse(job.describe())

    async def cancel(self, request: Request) -> Response:
        """Stop a job."""
        await self.queue.cancel(request.path_params["key"])
        return Response(status_code=204)

    async def remove(self, request: Request) -> Response:
        """Take a job off the list, with its results."""
        self._forget(request.path_params["key"])
        return Response(status_code=204)

    async def record(self, request: Request) -> Response:
        """The run record of a job."""
        job = self.queue.jobs.get(request.path_params["key"])
        if job is None or job.record is None:
            raise InputError("there is no record")
        return FileResponse(job.record, filename=job.record.name, media_type="application/json")

    async def so_far(self, request: Request) -> Response:
        """The clean estimate so far of a job that runs, as a WAV file."""
        path = outcome.estimate(self.queue.jobs, request.path_params["key"])
        return Response(await asyncio.to_thread(path.read_bytes), media_type="audio/wav", headers=_NEVER)

    async def so_far_drawn(self, request: Request) -> Response:
        """Its spectrogram, as a PNG."""
        path = outcome.estimate(self.queue.jobs, request.path_params["key"])
        content = await asyncio.to_thread(lambda: tiles.thumbnail(files.find(path)))
        return Response(content, media_type="image/png", headers=_NEVER)

    def _forget(self, key: str) -> None:
        job = self.queue.remove(key)
        for result in job.results:
            self.library.remove(result)
        shutil.rmtree(job.folder, ignore_errors=True)

    async def _forms(self) -> dict[str, Any]:
        assert self.forms is not None
        return await asyncio.shield(self.forms)

    async def _commands(self, request: Request) -> tuple[list[str], str, str, str]:
        """The words to run, the line to show, the recording and a title, of the form that a request holds."""
        form = await read_form(request)
        item = self.library[str(form.get("file"))]
        if item.path is None:
            raise InputError("a difference is no recording to restore")
        operators = (await self._forms())["operators"]
        names = {each["name"]: [own["name"] for own in each["parameters"]] for each in operators}
        task = form.get("task")
        title = str(form.get("operator") if task == "solve" else task)
        run = words(outcome.with_directions(form, self.queue.jobs, shown=False), str(item.path), names)
        shown = line(words(outcome.with_directions(form, self.queue.jobs, shown=True), item.shown, names))
        return run, shown, item.key, f"{item.name}: {title}"
