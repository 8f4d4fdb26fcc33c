"""``diffmusic doctor``: facts for a bug report, and faults of this installation."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

import click

from diffmusic.errors import reason
from diffmusic.plugins import KINDS, registry


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look at this installation: versions, devices, ffmpeg, the cache, every plugin.

    Exit code 1 if something is broken.
    """
    from diffmusic.jobs import record
    from diffmusic.models.load import resolve_device

    facts: list[tuple[str, bool, str]] = [("system", True, f"{platform.platform()}, {os.cpu_count()} cores")]
    try:
        facts += [(name, True, version) for name, version in record.versions().items()]
        facts.append(("device", True, resolve_device("auto")))
    except Exception as error:
        facts.append(("packages", False, reason(error)))
    ffmpeg = shutil.which("ffmpeg")
    facts.append(("ffmpeg", True, ffmpeg or "not found (M4A, WMA, videos and the dataset musdb18 need it)"))
    facts.append(_cache())
    for plugin in registry().plugins:
        facts.append((f"plugin {plugin.distribution}:{plugin.entry_point}", plugin.error is None, plugin.error or "ok"))
    for kind in KINDS:
        for name, spec in registry().components(kind).items():
            try:
                spec.load()
            except Exception as error:
                facts.append((f"{kind} {name}", False, str(error)))
    if as_json:
        click.echo(json.dumps([{"name": name, "ok": ok, "detail": detail} for name, ok, detail in facts]))
    else:
        width = max(len(name) for name, _, _ in facts)
        for name, ok, detail in facts:
            click.echo(f"{'ok    ' if ok else 'BROKEN'}  {name.ljust(width)}  {detail}")
    ctx.exit(0 if all(ok for _, ok, _ in facts) else 1)


def _cache() -> tuple[str, bool, str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        return "model cache", False, f"{folder} is not writable: {error.strerror}"
    free = shutil.disk_usage(existing).free / 1e9
    return "model cache", True, f"{folder}, {free:.0f} GB free"
