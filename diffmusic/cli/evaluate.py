"""``diffmusic evaluate REFERENCE ESTIMATE``: metrics of any files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click

from diffmusic.cli.listing import table
from diffmusic.cli.terminal import progress_bar
from diffmusic.errors import InputError
from diffmusic.jobs import outputs, record
from diffmusic.jobs.evaluate import Fit, default_metrics, evaluate, prompts_of
from diffmusic.models.load import Access

FORMATS = (".json", ".csv")


@click.command("evaluate")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("estimate", type=click.Path(path_type=Path))
@click.option("-m", "--metrics", multiple=True, metavar="NAMES",
              help="What to measure, with commas between; a metric's parameters after blanks, as in \"lsd,fad "
              "embedding=vae\". May be repeated.  [default: what solve reports]")  # fmt: skip
@click.option("--prompt", metavar="TEXT", help="What every estimate should sound like, for metrics that take a prompt.")
@click.option("--prompts", type=click.Path(path_type=Path), metavar="CSV",
              help="A prompt for each file: a table with the columns file and prompt.")  # fmt: skip
@click.option("--cut", is_flag=True, help="Cut both recordings of a pair to the shorter length.")
@click.option("--mono", is_flag=True, help="Compare the means of the channels.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Write everything as .json, or the table as .csv.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Download nothing; a model that is not in the cache is an error.")
@click.option("--allow-pickle", is_flag=True, help="Read pickled weights where there are no safetensors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
def command(reference: Path, estimate: Path, **given: Any) -> None:
    """Measure the recordings ESTIMATE against REFERENCE: two folders, whose files are matched by name, or two files.

    Metrics of sets, such as fad, take all files of either folder.

    \b
    diffmusic evaluate clean/ restored/
    diffmusic evaluate clean/ restored/ --metrics lsd,si_sdr,fad,kad -o scores.json
    """
    output = given["output"]
    if output is not None:
        if output.suffix.lower() not in FORMATS:
            raise InputError(f"output {output}: give a name that ends in {' or '.join(FORMATS)}")
        outputs.check([output], [path for path in (reference, estimate, given["prompts"]) if path])
    words = [word.strip() for words in given["metrics"] for word in words.split(",")]
    names = [word for word in words if word] or default_metrics()
    listed = prompts_of(given["prompts"]) if given["prompts"] else {}
    access = Access(given["offline"], given["allow_pickle"])
    with progress_bar(1) as begin:
        document = evaluate(
            reference,
            estimate,
            names,
            access,
            Fit(given["cut"], given["mono"]),
            lambda name: listed.get(name) or given["prompt"],
            begin,
        )
    if output is not None:
        text = record.dump(document) if output.suffix.lower() == ".json" else _csv(document)
        outputs.write({output: text.encode()})
    if given["as_json"]:
        click.echo(record.dump(document), nl=False)
        return
    _report(document)
    if output is not None:
        click.echo(f"wrote {output}")


def _csv(document: dict[str, Any]) -> str:
    """Write one row for each file and metric; metrics of sets have no file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "metric", "value"))
    for each in document["files"]:
        writer.writerows((each["name"], metric, value) for metric, value in each["values"].items())
    writer.writerows(("", metric, found["value"]) for metric, found in document["sets"].items())
    return text.getvalue()


def _report(document: dict[str, Any]) -> None:
    names = list(document["metrics"])
    if names:
        rows = [["", *names]]
        rows += [[each["name"], *(_shown(each["values"][name]) for name in names)] for each in document["files"]]
        if len(document["files"]) > 1:
            rows.append(["mean", *(_shown(document["metrics"][name]["mean"]) for name in names)])
        table(rows)
    for name, found in document["sets"].items():
        windows, counts = found["windows"], found["files"]
        click.echo(
            f"{name}: {_shown(found['value'])}  ({counts[0]} files, {windows[0]} windows against {counts[1]} files, "
            f"{windows[1]} windows)"
        )
    for name, found in {**document["metrics"], **document["sets"]}.items():
        if "model" in found:
            model = found["model"]
            what = next((model[kind] for kind in ("embedding", "classifier", "model") if kind in model), "?")
            click.echo(f"  {name} by {what}, sha256 {str(model.get('sha256'))[:12]}")
    for each in document["files"]:
        for done in each["done"]:
            click.echo(f"note: {each['name']}: {done}", err=True)
    for side, unmatched in document["unmatched"].items():
        if unmatched:
            more = ", ..." if len(unmatched) > 5 else ""
            click.echo(f"note: only in {side}: {', '.join(unmatched[:5])}{more} ({len(unmatched)} files)", err=True)
    for name, found in document["metrics"].items():
        if found["files"] < len(document["files"]):
            click.echo(f"note: {name} has a value for {found['files']} of {len(document['files'])} files", err=True)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
