"""``diffmusic solve OPERATOR INPUT...``: each installed operator is a sub-command, made from its dataclass."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from diffmusic.plugins import registry


class Operators(click.Group):
    """Group with one sub-command for each installed operator; only the one that is asked for is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(registry().components("operator"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Operators"):
            formatter.write_dl([(name, spec.summary) for name, spec in registry().components("operator").items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from diffmusic.cli.completion import items

        rows = ((name, spec.summary) for name, spec in registry().components("operator").items())
        return items(rows, incomplete) + click.Command.shell_complete(self, ctx, incomplete)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from diffmusic.cli.flags import common_flags, operator_flags
        from diffmusic.cli.solving import solve_files
        from diffmusic.parameters import BAR

        if BAR in name:  # a chain: its parameters stand behind each operator
            from diffmusic.models.components import load_component

            return click.Command(
                name,
                params=common_flags(load_component("operator", name)),
                callback=lambda **given: solve_files(name, given),
                help=f"{name}: restore INPUT..., the damaged recordings.",
            )
        if name not in self.list_commands(ctx) and Path(name).is_file():
            return _undecided(name)
        spec = registry().find("operator", name)
        component = spec.load()

        return click.Command(
            name,
            params=[*operator_flags(component), *common_flags(component)],
            callback=lambda **given: solve_files(name, given),
            help=f"{spec.summary[:1].upper()}{spec.summary[1:]}: restore INPUT..., the damaged recordings.",
            short_help=spec.summary,
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `solve --config RUN.json -o OUT` repeats a run: operator and inputs are in the record.
        if args[:1] == ["--config"] and len(args) > 1:
            from diffmusic.jobs import record

            recorded = record.load(Path(args[1]))
            args = [str(recorded["job"].get("operator")), *map(str, record.inputs(recorded)), *args]
        return super().parse_args(ctx, args)


def _undecided(name: str) -> click.Command:
    """A command for a recording without an operator: it says what is wrong with it and what to do, and does nothing."""

    def look(inputs: tuple[Path, ...]) -> None:
        from diffmusic.cli.detect import tell
        from diffmusic.jobs.detect import detect

        for path in (Path(name), *inputs):
            document = detect(path)
            tell(document)
            if not document["suggestions"]:
                click.echo("  say what happened: diffmusic operators lists what can be undone")
        click.echo("nothing was done")

    inputs = click.Argument(["inputs"], nargs=-1, type=click.Path(path_type=Path))
    return click.Command(name, params=[inputs], callback=look, add_help_option=False)


@click.command(cls=Operators, no_args_is_help=True, subcommand_metavar="OPERATOR INPUT... [OPTIONS]")
def solve() -> None:
    """Restore recordings: say what damaged them, and get back what would have been there.

    \b
    diffmusic solve inpainting song.flac --gap 12.0:12.8 -o restored.flac
    diffmusic solve inpainting --help          the flags of one operator
    diffmusic solve "resampling | clipping" dull.wav    what happened one after the other
    diffmusic solve song.flac                  looks for damage, and says what to do
    diffmusic solve --config restored.flac.json -o again.flac    repeat a run
    """
