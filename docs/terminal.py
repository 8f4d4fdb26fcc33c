"""Record a session at the terminal: ``python docs/terminal.py`` runs the commands and writes docs/terminal.md.

Each runs in a pseudo-terminal of 100 columns, as it would for a person; what a bar erased again is erased here too.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import sys
import tempfile
import termios
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
COMMANDS = (
    "diffmusic detect broken.flac",
    "diffmusic solve inpainting broken.flac --gap auto --solver repeat",
    "diffmusic solve inpainting broken.flac --gap 12.0:12.4 --gap 99:100 -o twice.flac",
    "diffmusic solve inpainting broken.flac --gap 12.0:12.4 --solver interpolate --dry-run",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        audio, rate = soundfile.read(HERE.parent / "examples" / "song.flac", dtype="int16")
        audio[12 * rate : round(12.4 * rate)] = 0
        soundfile.write(Path(folder) / "broken.flac", np.asarray(audio), rate, subtype="PCM_16")
        told = "\n".join(f"$ {command}\n{ran(command, Path(folder))}" for command in COMMANDS)
    text = (
        "# At the terminal\n\nA session as it ran, recorded by `python docs/terminal.py`; `broken.flac` is "
        "`examples/song.flac` with 0.4 s of silence.\n\n```text\n" + told.rstrip() + "\n```\n"
    )
    (HERE / "terminal.md").write_text(text)


def ran(command: str, folder: Path) -> str:
    """What is left on the screen once a command has run, and its exit code where that is not 0."""
    diffmusic = f"{shlex.quote(sys.executable)} -m diffmusic"
    process, terminal = pty.fork()
    if not process:
        os.chdir(folder)
        os.execv(shutil.which("sh") or "/bin/sh", ["sh", "-c", command.replace("diffmusic", diffmusic, 1)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # the other side is closed
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    screen: list[str] = [""]
    for piece in re.split(r"(\r\n|\n|\r|\x1b\[2K|\x1b\[1A)", b"".join(parts).decode(errors="replace")):
        if piece in ("\r\n", "\n"):
            screen.append("")
        elif piece in ("\r", "\x1b[2K"):
            screen[-1] = screen[-1] if piece == "\r" else ""
        elif piece == "\x1b[1A" and len(screen) > 1:
            screen.pop()
        else:
            screen[-1] += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece)
    lines = [line.rstrip() for line in screen if line.strip()]
    return "\n".join([*lines, *([f"(exit code {code})"] if code else []), ""])


if __name__ == "__main__":
    main()
