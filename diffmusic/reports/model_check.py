"""Report of a check of a prior, as a page of text and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffmusic.reports.spectrograms import png

_TITLES = {"gap": "A gap", "band": "The upper half of the band"}


def page(report: Mapping[str, Any]) -> str:
    """Write a report, of ``diffmusic.jobs.model_check``, as lines for a terminal."""
    model, trip, free, settings = (report[key] for key in ("model", "round_trip", "free_samples", "settings"))
    channels = {1: "mono", 2: "stereo"}.get(model["channels"], f"{model['channels']} channels")
    weights = str(model.get("sha256", ""))[:12] or "unknown"
    lines = [
        f"{model['name']}, weights {weights}, {model['sample_rate']} Hz {channels}, {model['dtype']}, "
        f"{model['device']}",
        f"clips: {', '.join(report['clips'])}",
        "",
        f"round trip    log-mel L1 {trip['mel_l1']:.3f} nats, LSD {trip['lsd']:.3f}, flux {trip['flux']:.2f} of the "
        "clips'",
        f"free samples  flux {free['flux']:.2f} of the clips', {free['count']} of {free['steps']} levels",
        "",
        "the denoiser: its error, what it claims to err, and its Jacobian",
        *_table(
            ["sigma", "error", "claimed", "eigenvalue", "asymmetry"],
            [[f"{row['sigma']:.3g}", *(f"{row[key]:.3f}" for key in ("error", "claimed", "eigenvalue", "asymmetry"))]
             for row in report["denoiser"]],
        ),
    ]  # fmt: skip
    for kind, rows in report["solvers"].items():
        lines += ["", f"{_TITLES[kind]}, {settings['steps']} levels, {settings['samples']} samples of a clip"]
        lines += _table(
            ["solver", "CRPS", "one", "mean", "flux", "s a sample", "GB", ""],
            [_cells(row["solver"], row) for row in sorted(rows, key=lambda row: (bool(row["error"]), row["crps"]))],
        )
        if report["levels"][kind]:
            lines += ["", *_table(["levels", "CRPS", "one", "mean", "flux", "s a sample", "GB", ""],
                                  [_cells(str(row["steps"]), row) for row in report["levels"][kind]])]  # fmt: skip
    lines += ["", *advice(report)]
    lines.append(f"{report['seconds']:.0f} s, {report['peak_memory_bytes'] / 1e9:.1f} GB at most")
    return "\n".join(lines)


def advice(report: Mapping[str, Any]) -> list[str]:
    """Say what to use with the prior, and what speaks against it."""
    lines = []
    for kind, found in report["advice"].items():
        where = "where the damage has a place" if kind == "gap" else "elsewhere"
        if found is None:
            lines.append(f"{where}: no solver came through; take a classical one, or another prior")
            continue
        lines.append(f"use {found['solver']} with {found['steps']} levels {where}")
        rows = {row["solver"]: row for row in report["solvers"][kind]}
        line, best = rows.get("straight line"), rows[found["solver"]]
        if line and best["mean"] > line["mean"]:
            lines.append("  a straight line through the log-mel is nearer to the truth: expect texture, no notes")
    return lines


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    scores = [f"{row[key]:.3f}" if row[key] == row[key] else "–" for key in ("crps", "one", "mean", "flux")]
    seconds = f"{row['seconds']:.1f}" if row["seconds"] else ""
    memory = f"{row['peak_memory_bytes'] / 1e9:.1f}" if row["peak_memory_bytes"] else ""
    return [name, *scores, "" if row["error"] and scores[0] == "–" else seconds, memory, row["error"][:60]]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        if not head[-1]:  # remarks
            cells[-1] = row[-1]
        return "  " + "  ".join(cells).rstrip()

    return [line(row) for row in (head, *rows)]


def picture(report: Mapping[str, Any]) -> bytes:
    """Draw a report as a PNG: the denoiser by noise level, its Jacobian, and every solver's score against its flux."""
    from matplotlib.figure import Figure

    kinds = list(report["solvers"])
    drawing = Figure(figsize=(4.5 * (2 + len(kinds)), 4.2), layout="constrained")
    axes = drawing.subplots(1, 2 + len(kinds))
    rows = report["denoiser"]
    sigma = [row["sigma"] for row in rows]
    axes[0].loglog(sigma, [row["error"] for row in rows], "o-", label="error")
    axes[0].loglog(sigma, [max(row["claimed"], 1e-6) for row in rows], "o--", label="claimed")
    axes[0].set(title="denoiser", xlabel="sigma", ylabel="rms")
    axes[1].semilogx(sigma, [row["eigenvalue"] for row in rows], "o-", label="largest eigenvalue")
    axes[1].semilogx(sigma, [row["asymmetry"] for row in rows], "o--", label="asymmetry")
    axes[1].axhline(1, color="grey", linewidth=0.7)
    axes[1].set(title="its Jacobian", xlabel="sigma", ylim=(0, None))
    for axis in axes[:2]:
        axis.legend(fontsize=8)
    for axis, kind in zip(axes[2:], kinds, strict=True):
        for row in report["solvers"][kind]:
            if row["crps"] == row["crps"]:
                marker = "x" if row["error"] else "s" if row["solver"] == "straight line" else "o"
                axis.plot(row["flux"], row["crps"], marker, color="grey" if row["error"] else "C0")
                axis.annotate(row["solver"], (row["flux"], row["crps"]), fontsize=8, xytext=(4, 2),
                              textcoords="offset points")  # fmt: skip
        axis.axvline(report["round_trip"]["flux"], color="grey", linewidth=0.7, linestyle=":")
        axis.set(title=f"{_TITLES[kind].lower()} (x: it failed; dotted: round trip)", xlabel="flux, of the clips'",
                 ylabel="CRPS, nats", ylim=(0, None))  # fmt: skip
        axis.margins(x=0.25)
    drawing.suptitle(str(report["model"]["name"]))
    return png(drawing)
