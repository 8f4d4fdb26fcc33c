"""``diffmusic bench SUITE.yaml``: run a suite, resume it, or rewrite its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffmusic.errors import InputError

PATH = click.Path(path_type=Path)


def _shard(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, int]:
    number, slash, count = value.partition("/")
    if not slash or not number.isdigit() or not count.isdigit() or not int(number) < int(count):
        raise InputError(f"--shard {value}: write I/N with I from 0 to N-1, such as 0/2 and 1/2")
    return int(number), int(count)


@click.command()
@click.argument("path", type=PATH, metavar="SUITE.yaml")
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Folder of the results; a run with results there is "
              "resumed.  [default: SUITE.results]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only print the number of cells and their estimated cost.")
@click.option("--report", is_flag=True, help="Measure nothing: rewrite tables and page from the folder.")
@click.option("--retry", is_flag=True, help="Measure failed cells again.")
@click.option("--shard", default="0/1", callback=_shard, metavar="I/N", show_default=True, help="Measure every Nth "
              "cell, from the Ith on; others, on any machine, may fill the same folder.")  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where cells "
              "are measured: on this machine, or on a Ray cluster.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Processes of the "
              "local engine.")  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Threads of each process."
)
@click.option("--address", metavar="A", help="Address of a running Ray cluster; by default one is started here.")
@click.option("--gpus", type=click.FloatRange(0), default=0.0, show_default=True, metavar="F", help="GPUs that a cell "
              "takes on the Ray cluster; 0.25 lets four share one.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", show_default=True, metavar="NAME", help="Precision of the network.")
@click.option("--offline", is_flag=True, help="Download nothing.")
@click.pass_context
def bench(ctx: click.Context, path: Path, **given: Any) -> None:
    """Measure solvers on problems. Every clip, problem, solver, prior and seed of a suite is a cell with a record of
    its own; an interrupted run is resumed by the same command.

    \b
    diffmusic bench benchmarks/mini.yaml --dry-run
    diffmusic bench benchmarks/mini.yaml -o mini --workers 4
    diffmusic bench benchmarks/mini.yaml -o mini --report
    """
    from diffmusic.bench import runner, suite
    from diffmusic.bench.local import Local, threads
    from diffmusic.bench.plan import Model
    from diffmusic.bench.progress import duration
    from diffmusic.bench.ray import Cluster

    made = suite.read(path)
    folder = given["output"] or Path(f"{path.stem}.results")
    if given["report"]:
        _wrote(runner.report(folder))
        return
    models = [Model(name, given["device"], given["dtype"], given["offline"]) for name in made.backbones]
    if given["dry_run"]:
        with threads(given["threads"]):
            _foretell(made, models)
        return
    run = runner.Run.prepare(made, folder, models)
    pending = run.pending(given["shard"], given["retry"])
    done = len(run.cells) - len(pending)
    click.echo(
        f"{made.title}: {len(run.cells)} cells, {done} of them done or another's, {len(pending)} to measure", err=True
    )

    def tell(each: Any, record: dict[str, Any], count: int, total: int, left: float | None) -> None:
        place = each.place
        what = f"{place.problem}, {place.row}, {run.library.name(place.clip)}"
        rest = f", {duration(left)} left" if left else ""
        failed = f"  FAILED: {record['error']}" if record["error"] else ""
        click.echo(f"{count}/{total}  {what}: {record['seconds']:.1f} s{rest}{failed}", err=True)

    engine = (
        Cluster(given["address"], given["gpus"], given["threads"])
        if given["engine"] == "ray"
        else Local(given["workers"], given["threads"])
    )
    try:
        run.work(engine, pending, tell, given["workers"])
    except KeyboardInterrupt:
        _wrote(runner.report(folder))
        click.echo("stopped; the same command goes on where this one was", err=True)
        ctx.exit(130)
    _wrote(runner.report(folder))


def _foretell(made: Any, models: Any) -> None:
    from diffmusic.bench import cost, plan

    cells = list(plan.cells(made, models, made.clips.count))
    counts = {
        "clips": made.clips.count,
        "problems": len(made.problems),
        "priors": len(models),
        "seeds": len(made.seeds),
    }
    shape = ", ".join(f"{count} {name if count > 1 else name[:-1]}" for name, count in counts.items())
    click.echo(f"{made.title}: {len(cells)} cells ({shape})")
    for each in cost.expected(made, models):
        for line in each.lines():
            click.echo(line)
    rest = sum(each.task.model is None for each in cells)
    click.echo(f"no prior: {rest} cells, truth and classical solvers")
    if made.needs:
        click.echo(f"needs: {made.needs.strip()}")


def _wrote(paths: list[Path]) -> None:
    for path in paths:
        click.echo(f"wrote {path}")
