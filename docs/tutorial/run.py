"""Execute tutorial.py, and write index.md with what its cells printed and drew: python docs/tutorial/run.py"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
from collections.abc import Iterator
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


def page(text: str, folder: Path) -> str:
    """Execute a script in ``folder``, and return its page; pictures are written beside it.

    Args:
        text: The script, in the percent format. It finds ``examples/`` in the folder.
        folder: Where it runs.

    Returns:
        The page, Markdown.
    """
    from matplotlib.figure import Figure

    names: dict[str, Any] = {"__name__": "tutorial"}
    parts, pictures = ["<!-- Written by docs/tutorial/run.py. -->"], 0
    here = Path.cwd()
    os.chdir(folder)
    try:
        for kind, body in cells(text):
            if kind == "markdown":
                parts.append(body)
                continue
            parts.append(f"```python\n{body}\n```")
            printed, value = execute(body, names)
            if isinstance(value, Figure):
                pictures += 1
                save(value, Path(f"picture-{pictures}.png"))
                parts.append(f"![What the cell above draws](picture-{pictures}.png)")
                value = None
            if printed or value is not None:
                parts.append(f"```text\n{printed}{'' if value is None else repr(value)}".rstrip() + "\n```")
    finally:
        os.chdir(here)
    return "\n\n".join(parts) + "\n"


def main() -> None:
    link = HERE / "examples"
    link.symlink_to(ROOT / "examples")
    try:
        (HERE / "index.md").write_text(page((HERE / "tutorial.py").read_text(), HERE))
    finally:
        link.unlink()


if __name__ == "__main__":
    main()
