"""Execute tutorial.py, and write index.md and tutorial.ipynb with what its cells printed and drew: python
docs/tutorial/run.py
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def cells(text: str) -> Iterator[tuple[str, str]]:
    """Yield ``("markdown" or "code", its text)`` of a script in the percent format."""
    for part in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        kind, _, body = part.partition("\n")
        if "[markdown]" in kind:
            yield "markdown", re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
        else:
            yield "code", body.strip()


def execute(code: str, names: dict[str, Any]) -> tuple[str, Any]:
    """Run a cell as a notebook does.

    Args:
        code: The cell.
        names: Variables of the cells before; those of this one are added.

    Returns:
        What it printed, and the value of its last line where that is an expression.
    """
    tree, printed, value = ast.parse(code), io.StringIO(), None
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "tutorial", "exec", dont_inherit=True), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "tutorial", "eval", dont_inherit=True), names)
    return printed.getvalue(), value


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG of 64 colours, a third of the size.

    Args:
        figure: The figure.
        path: The file.
    """
    import PIL.Image

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    PIL.Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)


@dataclass(frozen=True)
class Cell:
    """A cell after its execution.

    Attributes:
        kind: ``markdown`` or ``code``.
        body: Its text.
        printed: What it printed, and the value of its last line.
        picture: What it drew, a file beside the page; None if nothing.
    """

    kind: str
    body: str
    printed: str = ""
    picture: Path | None = None


def executed(text: str, folder: Path) -> list[Cell]:
    """Execute a script in ``folder``; pictures are written there.

    Args:
        text: The script, in the percent format. It finds ``examples/`` in the folder.
        folder: Where it runs.

    Returns:
        Its cells.
    """
    from matplotlib.figure import Figure

    names: dict[str, Any] = {"__name__": "tutorial"}
    done, pictures = list[Cell](), 0
    here = Path.cwd()
    os.chdir(folder)
    try:
        for kind, body in cells(text):
            if kind == "markdown":
                done.append(Cell(kind, body))
                continue
            printed, value = execute(body, names)
            picture = None
            if isinstance(value, Figure):
                pictures += 1
                picture = folder / f"picture-{pictures}.png"
                save(value, picture)
                value = None
            printed += "" if value is None else shown(value)
            done.append(Cell(kind, body, printed.rstrip(), picture))
    finally:
        os.chdir(here)
    return done


def shown(value: Any) -> str:
    """A value as a page shows it: its Markdown where it has some."""
    return value._repr_markdown_() if hasattr(value, "_repr_markdown_") else repr(value)


def page(done: Sequence[Cell]) -> str:
    """The executed cells as Markdown."""
    parts = ["<!-- Written by docs/tutorial/run.py. -->"]
    for cell in done:
        parts.append(cell.body if cell.kind == "markdown" else f"```python\n{cell.body}\n```")
        if cell.picture:
            parts.append(f"![What the cell above draws]({cell.picture.name})")
        if cell.printed:
            parts.append(f"```text\n{cell.printed}\n```")
    return "\n\n".join(parts) + "\n"


def notebook(done: Sequence[Cell]) -> str:
    """The executed cells as a notebook of format 4.5, which says first how to install what it needs."""
    install = Cell("code", "# On Colab or another fresh machine, beside the folder examples/ of the repository:\n"
                           "# %pip install diffmusic")  # fmt: skip
    made, count = list[dict[str, Any]](), 0
    for number, cell in enumerate([install, *done]):
        common = {"id": f"cell-{number}", "metadata": {}, "source": cell.body}
        if cell.kind == "markdown":
            made.append({"cell_type": "markdown", **common})
            continue
        count += 1
        outputs: list[dict[str, Any]] = []
        if cell.printed:
            outputs.append({"output_type": "stream", "name": "stdout", "text": cell.printed + "\n"})
        if cell.picture:
            data = {"image/png": base64.b64encode(cell.picture.read_bytes()).decode(), "text/plain": "<Figure>"}
            outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        made.append({"cell_type": "code", "execution_count": count, "outputs": outputs, **common})
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": made, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def main() -> None:
    link = HERE / "examples"
    link.symlink_to(ROOT / "examples")
    try:
        done = executed((HERE / "tutorial.py").read_text(), HERE)
        (HERE / "index.md").write_text(page(done))
        (HERE / "tutorial.ipynb").write_text(notebook(done))
    finally:
        link.unlink()


if __name__ == "__main__":
    main()
