"""Execution of ``diffmusic solve OPERATOR`` once its flags are parsed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmusic.audio import files
from diffmusic.cli import many
from diffmusic.cli.batch import expanded
from diffmusic.cli.estimate import estimate, tell
from diffmusic.cli.flags import LIST, OPERATOR, RECTANGLES
from diffmusic.cli.jobs import access, check_results, is_stream, overridden, result_path, variants
from diffmusic.cli.preview import previews
from diffmusic.cli.report import record_path, write
from diffmusic.cli.terminal import say
from diffmusic.errors import InputError
from diffmusic.jobs import gaps, outputs, record
from diffmusic.jobs.inputs import ARRAYS
from diffmusic.jobs.restore import Prepared, RestoreJob
from diffmusic.models.load import Access
from diffmusic.parameters import span
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem.operator import clean_rate


@dataclass(frozen=True)
class _Run:
    """One recording, or all the sources that a simulation mixes, where its results go, and what is its own of the
    operator."""

    inputs: tuple[Path, ...]
    targets: tuple[Path, ...]
    parameters: dict[str, Any]


@dataclass(frozen=True)
class _Solve:
    """A run with all that it needs (``many.Item``)."""

    planned: _Run
    job: RestoreJob
    access: Access
    left: frozenset[str]
    references: tuple[Path, ...]
    plot: Path | None
    subtype: str | None

    @property
    def path(self) -> Path:
        return self.planned.inputs[0]

    def run(self, progress: ProgressCallback | None = None) -> dict[str, Any]:
        own = many.sharing(_own(self.job.prepare(self.access, self.left), self.planned))
        outcome = own.run(self.planned.inputs, self.references, progress, previews())
        many.keep(own)
        return write(outcome, self.planned.targets, self.plot, self.subtype)


def _own(prepared: Prepared, planned: _Run) -> Prepared:
    return prepared.with_operator(planned.parameters) if planned.parameters else prepared


def solve_files(operator: str, given: dict[str, Any]) -> None:
    """Restore every input. What can be refused before any work is done is refused first."""
    with expanded(given["inputs"]) as paths:
        _solve(operator, given, paths)


def _solve(operator: str, given: dict[str, Any], paths: tuple[Path, ...]) -> None:
    plot, references = given["plot"], given["references"]
    if given["simulate"] and references:
        raise InputError("--simulate takes the input itself as the reference; leave --reference out")
    if plot and plot.suffix.lower() != ".png":
        raise InputError(f"--plot {plot}: the picture is a PNG; give a name that ends in .png")
    spans = _spans(given)
    prepared = _job(operator, given).prepare(access(given), _left(given))
    grouped = _grouped(paths, prepared)
    if len(grouped) > 1 and (references or plot):
        raise InputError("--reference and --plot take one input at a time")
    output = given["output"]
    named = output is not None and not output.is_dir() and output.suffix.lower() in files.FORMATS
    if len(grouped) > 1 and output is not None and (named or is_stream(output)):
        raise InputError(f"several inputs need a folder; {output} is none")

    batch, by_path = many.Batch(len(grouped), given["as_json"]), {inputs[0]: inputs for inputs in grouped}
    runs = batch.attempt(by_path, lambda path: _plan(by_path[path], prepared, spans, given, len(grouped) > 1))
    planned = [run for run in runs if run]
    made = [path for run in planned for path in run.targets if not is_stream(path)]
    made += [record_path(run.targets[0]) for run in planned if not is_stream(run.targets[0])]
    outputs.check(made + ([plot] if plot else []), [path for path in (*paths, *references, given["config"]) if path])
    _tell_of_replaced(planned)

    if given["dry_run"]:
        for run in planned:

            def counted(job: Prepared, paths: tuple[Path, ...] = run.inputs) -> dict[str, Any]:
                return job.run(paths, references).document

            tell(run.inputs[0], estimate(_own(prepared, run).advised(), counted), given["as_json"])
        return

    left, shared = frozenset(_left(given)), (tuple(references), plot, given["subtype"])
    items = [_Solve(run, prepared.job, prepared.access, left, *shared) for run in planned]
    batch.run(items, given["workers"], given["threads"], given["engine"], given["address"])
    batch.end("restored")


def _plan(
    inputs: tuple[Path, ...], prepared: Prepared, spans: dict[str, Any], given: dict[str, Any], several: bool
) -> _Run | None:
    """What is to be done with one input; None where nothing is. Raises InputError for what could not be kept."""
    path, job, operator = inputs[0], prepared.job, prepared.operator
    for each in inputs:
        if not each.exists():
            raise InputError(f"{each}: no such file")
    parameters = {}
    for name, source in spans.items():
        found = source(path)
        if not found:
            say(f"note: passed over {path}: no {name} of it is listed", err=True)
            return None
        parameters[name] = found
    targets = _targets(path, given["output"], several, job.samples, prepared.sources)
    if any(is_stream(target) for target in targets) and len(targets) > 1:
        raise InputError("stdout takes one result: give a file or a folder with -o")
    there = [target for target in targets if target.exists() and not is_stream(target)]
    if given["no_clobber"] and there:
        if not several:
            raise InputError(f"output {there[0]} is there already, and --no-clobber leaves it")
        say(f"note: passed over {path}: {there[0]} is there already", err=True)
        return None
    if path.suffix.lower() not in ARRAYS and path.is_file():
        rate = clean_rate(operator, files.find(path).sample_rate)
        check_results(targets, path, given["subtype"], rate=rate)
    return _Run(inputs, tuple(targets), parameters)


def _spans(given: dict[str, Any]) -> dict[str, Callable[[Path], Sequence[tuple[float, ...]]]]:
    """What finds the stretches and rectangles of a file, by the parameter that they are of, where its flags need the
    file to do so.

    Those that need none are put into ``given`` as they are. Raises InputError for what is none.
    """
    found: dict[str, Callable[[Path], Sequence[tuple[float, ...]]]] = {}
    for flag in [flag for flag in given if flag.startswith(RECTANGLES) and given[flag]]:
        name = flag.removeprefix(RECTANGLES)
        texts, given[f"{OPERATOR}{name}"] = given[f"{OPERATOR}{name}"] or (), ()
        found[name] = _rectangles(texts, _listed(given[flag]))
    banded = bool(found)  # what a list says of rectangles is no gap
    for flag in [flag for flag in given if flag.startswith(LIST)]:
        name = flag.removeprefix(LIST)
        texts, lists = given[f"{OPERATOR}{name}"], given[flag]
        words = [word.strip() for text in texts or () for word in text.split(",")]
        if given["simulate"] and gaps.AUTO in words:
            raise InputError(f"--simulate damages a clean file: which stretch is to be lost? Give --{name} START:END")
        if not lists and not any(word == gaps.AUTO or "s" in word for word in words):
            try:
                given[f"{OPERATOR}{name}"] = tuple(span(word) for word in words)
            except ValueError as error:
                raise InputError(f"operator parameter {name}: {error} (got {', '.join(words)!r})") from None
            continue
        given[f"{OPERATOR}{name}"] = ()
        listed = _listed(lists)

        def of(path: Path, words: list[str] = words, listed: Any = listed) -> Any:
            return gaps.resolved([*words, *(each.text for each in listed(path) if not (banded and each.band))], path)

        found[name] = of
    return found


def _rectangles(texts: Sequence[str], listed: Callable[[Path], list[gaps.Entry]]) -> Callable[[Path], Any]:
    return lambda path: gaps.rectangles(texts, listed(path), path)


def _listed(lists: Sequence[Path]) -> Callable[[Path], list[gaps.Entry]]:
    """What finds the entries of a file in lists, or in the list of its name in a folder of them."""
    entries = [entry for path in lists if not path.is_dir() for entry in gaps.read(path)]
    folders = [path for path in lists if path.is_dir()]
    return lambda path: gaps.of_file([*entries, *(e for folder in folders for e in gaps.beside(folder, path))], path)


def _tell_of_replaced(planned: Sequence[_Run]) -> None:
    """Name the files that are there already and were not made here: no run record lies beside them."""
    for run in planned:
        for target in run.targets:
            if target.is_file() and not record_path(run.targets[0]).is_file():
                say(f"note: {target} is there already and will be replaced (--no-clobber leaves it)", err=True)


def _grouped(paths: tuple[Path, ...], prepared: Prepared) -> list[tuple[Path, ...]]:
    """The inputs of each run: one file, or the files that a simulation mixes."""
    sources = prepared.sources
    if not prepared.job.simulate or sources == 1:
        return [(path,) for path in dict.fromkeys(paths)]
    if len(paths) != sources:
        raise InputError(f"--simulate mixes {sources} sources: give {sources} files, not {len(paths)}")
    return [paths]


def _job(operator: str, given: dict[str, Any]) -> RestoreJob:
    """Build the job from the flags, over that of ``--config``, over the defaults."""
    job = RestoreJob.from_record(record.load(given["config"])) if given["config"] else RestoreJob(operator=operator)
    if job.operator != operator:
        job = dataclasses.replace(job, operator=operator, operator_parameters={})
    job = overridden(job, given)
    flags = {
        name.removeprefix(OPERATOR): list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name.startswith(OPERATOR) and value not in (None, ())
    }
    return dataclasses.replace(job, operator_parameters={**job.operator_parameters, **flags})


def _left(given: dict[str, Any]) -> set[str]:
    """What neither a flag nor a record says: a check of the prior may."""
    free = {"solver": not given["solver"] and not given["settings"], "steps": given["steps"] is None}
    return set() if given["config"] else {name for name, open_ in free.items() if open_}


def _targets(path: Path, output: Path | None, several: bool, samples: int, sources: int) -> list[Path]:
    """Where the restorations of one input go: the medoid's name has no number, the others count from 2; a path for each
    source."""
    if path.parent.joinpath("stdin") == path and output is None and not path.suffix:
        output = Path("-")
    if several and output is not None:  # a folder, whatever it is called
        base = output / result_path(path, None, "restored").name
    else:
        base = result_path(path, output, "restored")
    bases = [base, *(base.with_name(f"{base.stem}-{number}{base.suffix}") for number in range(2, samples + 1))]
    return [path for each in bases for path in variants(each, ("source", sources))]
