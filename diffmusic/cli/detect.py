"""``diffmusic detect INPUT...``: what is wrong with recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffmusic.cli.listing import table
from diffmusic.errors import InputError
from diffmusic.jobs import outputs, record
from diffmusic.jobs.detect import CONFIDENCE, detect, label_track


@click.command("detect")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE",
              help="Write them as a label track, which Audacity imports; one input at a time.")  # fmt: skip
@click.option("--confidence", type=click.FloatRange(0, 1), default=CONFIDENCE, show_default=True,
              help="Leave out what is less certain.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
def command(inputs: tuple[Path, ...], labels: Path | None, confidence: float, as_json: bool) -> None:
    """Find what damaged recordings: dropouts, clicks and pops, skips, clipping, and an upper band that is missing.

    Nothing is changed. What is found as a dropout or click is what --gap auto fills in.

    \b
    diffmusic detect song.flac
    diffmusic detect song.flac --labels faults.txt
    diffmusic solve inpainting song.flac --gap auto -o mended.flac
    """
    if labels is not None:
        if len(inputs) > 1:
            raise InputError("--labels takes one input at a time")
        outputs.check([labels], inputs)
    documents = [detect(path, confidence) for path in inputs]
    if labels is not None:
        outputs.write({labels: label_track(documents[0]).encode()})
    if as_json:
        click.echo(record.dump(documents[0]) if len(documents) == 1 else record.dump({"files": documents}), nl=False)
        return
    for document in documents:
        tell(document)
    if labels is not None:
        click.echo(f"wrote {labels}")


def tell(document: dict[str, Any]) -> None:
    """Print what is wrong with a file, and what to do, as a table."""
    counts = ", ".join(f"{count} {kind}{'s' * (count > 1 and kind not in ('clipping', 'dull'))}"
                       for kind, count in document["counts"].items())  # fmt: skip
    click.echo(f"{document['path']}: {counts or 'nothing wrong found'}")
    table([
        [f"  {each['kind']}", f"{each['start']:.4f}", f"{each['end']:.4f}", f"{each['confidence']:.2f}", each["detail"]]
        for each in document["defects"]
    ])  # fmt: skip
    for line in document["suggestions"]:
        click.echo(f"  -> {line}")
