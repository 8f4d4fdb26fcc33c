"""Lines and the bar on a terminal of any width: run with a pseudo-terminal, read by a small screen."""

import os
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals")
import fcntl  # noqa: E402
import struct  # noqa: E402
import termios  # noqa: E402

Song = Callable[..., Path]
CONTROL = re.compile(r"\x1b\[(?P<numbers>[\d;?]*)(?P<what>[A-Za-z])|\x1b[78=>]|\x1b\][^\x07]*\x07")


class Screen:
    """What a terminal of a width shows: the controls that a bar uses, lines that wrap, no scrolling away."""

    def __init__(self, width: int) -> None:
        self.width, self.row, self.column = width, 0, 0
        self.rows: list[list[str]] = [[]]
        self.frames: list[list[str]] = []

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            found = CONTROL.match(text, at)
            if found:
                self._control(found["what"] or "", found["numbers"] or "")
                at = found.end()
                continue
            self._put(text[at])
            at += 1

    def lines(self) -> list[str]:
        return [line for line in ("".join(row).rstrip() for row in self.rows) if line]

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self.row, self.column = self.row + 1, 0
            self.frames.append(self.lines())
        else:
            if self.column == self.width:
                self.row, self.column = self.row + 1, 0
            while len(self.rows) <= self.row:
                self.rows.append([])
            row = self.rows[self.row]
            row += [" "] * (self.column + 1 - len(row))
            row[self.column] = letter
            self.column += 1
        while len(self.rows) <= self.row:
            self.rows.append([])

    def _control(self, what: str, numbers: str) -> None:
        count = int(numbers) if numbers.isdigit() else 1
        if what == "A":
            self.row = max(0, self.row - count)
        elif what == "K":
            self.frames.append(self.lines())
            self.rows[self.row] = []


def shown(words: list[object], width: int, colour: bool) -> Screen:
    """The screen once a command has run with both of its outputs on one terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    settings = {"TERM": "xterm-256color", "COLUMNS": str(width)} | ({} if colour else {"NO_COLOR": "1"})
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmusic", *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, **settings},
    )  # fmt: skip
    os.close(theirs)
    data = b""
    while process.poll() is None or select.select([ours], [], [], 0.1)[0]:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                data += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.wait() == 0, data.decode()
    screen = Screen(width)
    screen.feed(data.decode().replace("\r\n", "\n"))
    return screen


@pytest.mark.parametrize(("width", "colour"), [(30, False), (200, True)])
def test_every_line_stands_on_its_own(song: Song, tiny: Path, tmp_path: Path, width: int, colour: bool) -> None:
    names = ["a.wav", "a recording with a rather long name [live].wav"]
    paths = [song(name) for name in names]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.restored.wav").touch()
    words = ["solve", "inpainting", *paths, "--gap", "0.6:0.7,0.65:0.75", "--model", tiny, "--steps", 3]
    screen = shown([*words, "-o", tmp_path / "out"], width, colour)
    text = "\n".join(screen.lines())
    assert "━" not in text
    assert "%" not in text
    # A line may wrap, but it begins where a line begins.
    lines = screen.lines()
    wanted = [f"{path}: inpainting solved by auto" for path in paths]
    wanted += [f"  wrote {tmp_path / 'out'}/{Path(name).stem}.restored.wav" for name in names]
    wanted += ["2 of 2 files restored", "note: overlapping gaps are merged", "note: "]
    for each in wanted:
        first = each[: width - 1].rstrip()
        assert any(line.startswith(first[: len(line)]) and len(line) >= len(first) for line in lines), (each, lines)
    # While it was drawn, the bar was one line, and whole.
    bars = [[line for line in frame if "━" in line] for frame in screen.frames]
    assert any(bars)
    for frame in bars:
        assert len(frame) <= 1
        assert all(re.search(r"\d%", line) and len(line) <= width for line in frame)
