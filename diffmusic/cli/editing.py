"""Execution of ``diffmusic edit`` once its flags are parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmusic.audio.formats import FORMATS
from diffmusic.cli import many
from diffmusic.cli.batch import expanded
from diffmusic.cli.estimate import estimate, tell
from diffmusic.cli.jobs import access, check_results, claim, record_path, result_path, variants
from diffmusic.cli.report import encoded, leave
from diffmusic.cli.terminal import say
from diffmusic.errors import InputError
from diffmusic.jobs.edit import EditJob, PreparedEdit
from diffmusic.jobs.edit_page import sweep_page
from diffmusic.models.load import Access
from diffmusic.prior.progress import ProgressCallback


@dataclass(frozen=True)
class _Edit:
    """The edit of one file, with all that it needs (``many.Item``)."""

    path: Path
    targets: tuple[Path, ...]
    page: Path | None
    job: EditJob
    access: Access
    start: tuple[int, int] | None
    subtype: str | None

    def prepared(self) -> PreparedEdit:
        prepared = many.sharing(self.job.prepare(self.access))
        return prepared.start_at(*self.start) if self.start else prepared

    def run(self, progress: ProgressCallback | None = None) -> dict[str, Any]:
        prepared = self.prepared()
        like, signal, result, document = prepared.run(self.path, progress)
        many.keep(prepared)
        drawn = dict(zip(self.targets, result.draws, strict=True))
        contents = encoded(drawn, like, like.sample_rate, signal, self.subtype)
        if self.page:
            contents[self.page] = sweep_page(self.path.name, signal, result, document)
        return leave(contents, document)


def edit_files(inputs: tuple[Path, ...], job: EditJob, start: tuple[int, int] | None, given: dict[str, Any]) -> None:
    """Edit every input. What can be refused before any work is done is refused first."""
    allowed = access(given)
    job.prepare(allowed)
    with expanded(inputs, "edited") as found:
        paths = tuple(dict.fromkeys(found))
        several, output = len(paths) > 1, given["output"]
        if several and output is not None and not output.is_dir() and output.suffix.lower() in FORMATS:
            raise InputError(f"several inputs need a folder; {output} is none")
        batch, taken = many.Batch(len(paths), given["as_json"]), set[Path]()

        def plan(path: Path) -> _Edit | None:
            if several and output is not None:  # a folder, whatever it is called
                base = output / result_path(path, None, "edited").name
            else:
                base = result_path(path, output, "edited")
            targets = variants(
                base, ("target", max(1, len(job.targets))), ("strength", job.sweep or 1), ("", job.samples)
            )
            page = base.with_suffix(".html") if job.sweep else None
            made = [*targets, record_path(targets[0]), *([page] if page else [])]
            if several and given["no_clobber"] and any(each.exists() for each in made):
                say(f"note: passed over {path}: {targets[0]} is there already", err=True)
                return None
            if taken & set(made):
                raise InputError(f"output {targets[0]} would be written twice; choose different names")
            claim(made, [*paths, given["config"]], given)
            check_results(targets, path, given["subtype"])
            taken.update(made)
            return _Edit(path, tuple(targets), page, job, allowed, start, given["subtype"])

        planned: list[_Edit] = [each for each in batch.attempt(paths, plan) if each]
        if given["dry_run"]:
            for each in planned:

                def counted(job: PreparedEdit, path: Path = each.path) -> dict[str, Any]:
                    return job.run(path)[-1]

                tell(each.path, estimate(each.prepared(), counted), given["as_json"])
            return
        batch.run(planned, given["workers"], given["threads"], given["engine"], given["address"])
        batch.end("edited")
