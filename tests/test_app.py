"""The server of ``diffmusic app``: who may ask, what is answered, and that nothing is left behind."""

import base64
import importlib.util
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="the page needs pip install 'diffmusic[app]'")
pytest.importorskip("uvicorn", reason="the page needs pip install 'diffmusic[app]'")

from diffmusic.app import tiles
from diffmusic.app.guard import allowed_host, same_origin
from diffmusic.app.library import Difference
from diffmusic.app.lines import words
from diffmusic.app.overview import COLUMN, PEAK, Overview
from diffmusic.app.spectrum import FLOOR, ROWS, STEP, hertz, mel
from diffmusic.audio import files
from diffmusic.errors import InputError
from tests.app_server import PLUGIN, Served, serving

Run = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("--plugin", PLUGIN, "--limit", "1") as server:
        yield server


def sound(seconds: float = 1.5, rate: int = 16000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    time = np.arange(round(seconds * rate)) / rate
    audio = 0.3 * np.sin(2 * np.pi * 220 * time)[:, None] * np.ones(channels)
    soundfile.write(file, audio, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_only_the_address_that_was_printed_answers(served: Served) -> None:
    assert served.ask("GET", "")[0] == 200
    for path in ("/", "/state", "/wrong/state", f"{served.token[:-2]}/state", "//state"):
        status, _, content = served.ask("GET", path)
        assert status == 404, path
        assert served.token.strip("/").encode() not in content


def test_other_names_of_this_machine_are_refused(served: Served) -> None:
    """A page elsewhere whose name is made to point here sends that name."""
    assert served.ask("GET", "state", Host="evil.example")[0] == 421
    assert served.ask("GET", "state", Host=f"evil.example:{served.host.split(':')[1]}")[0] == 421
    assert served.ask("GET", "state", Host="localhost")[0] == 200


@pytest.mark.parametrize(
    ("header", "bound", "allowed"),
    [
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("[::1]:80", "::1", True),
        ("192.168.1.5", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("192.168.1.5:8000", "0.0.0.0", True),
        ("studio", "studio", True),
        ("evil.example", "0.0.0.0", False),
        ("", "127.0.0.1", False),
    ],
)
def test_hosts(header: str, bound: str, allowed: bool) -> None:
    assert allowed_host(header, bound) is allowed


def test_what_changes_something_comes_from_the_page_itself(served: Served) -> None:
    assert same_origin({"host": "a:1"})
    assert not same_origin({"host": "a:1", "origin": "http://b:1"})
    assert not same_origin({"host": "a:1", "origin": "null"})
    assert served.ask("POST", "files?name=a.wav", sound(), Origin="http://evil.example")[0] == 403
    assert served.ask("GET", "state", Origin="http://evil.example")[0] == 200, "browsers keep it from that page"


def test_the_page_may_load_nothing_from_elsewhere(served: Served) -> None:
    _, headers, content = served.ask("GET", "")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert b"http" not in content
    for name in ("app.js", "app.css", "controls.js", "icon.svg"):
        status, _, text = served.ask("GET", f"page/{name}")
        assert status == 200
        assert b"//" not in text.replace(b"// ", b"").replace(b"http://www.w3.org/2000/svg", b"")
    assert served.ask("GET", "page/..%2fserver.py")[0] == 404
    assert served.ask("GET", "page/index.py")[0] == 404


def test_a_password_is_asked_for() -> None:
    with serving("--host", "localhost", DIFFMUSIC_APP_PASSWORD="tëst") as server:
        status, headers, _ = server.ask("GET", "state")
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="diffmusic"')
        for word, expected in (("wrong", 401), ("tëst", 200)):
            given = base64.b64encode(f"me:{word}".encode()).decode()
            assert server.ask("GET", "state", Authorization=f"Basic {given}")[0] == expected


def test_strangers_need_a_password(run: Run) -> None:
    done = run("app", "--host", "0.0.0.0", "--no-browser")
    assert done.code == 2
    assert done.err.startswith("error: --host 0.0.0.0 lets others in: set a password")


def test_without_the_extra_one_line_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr("diffmusic.app.command.find_spec", lambda name: None if name == "uvicorn" else known(name))
    done = run("app")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: the page needs packages that are not installed: pip install 'diffmusic[app]'\n"


def test_the_command_and_its_help_load_neither_the_server_nor_torch() -> None:
    script = (
        "import sys; from diffmusic.cli import main\ntry: main(['app', '--help'])\n"
        "finally: print([m for m in ('torch', 'numpy', 'starlette', 'uvicorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_the_server_loads_no_torch() -> None:
    script = "import sys, diffmusic.app.server; print([m for m in ('torch', 'librosa') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_uploads_are_limited_and_kept_in_a_private_folder(served: Served) -> None:
    (folder,) = served.temporary.glob("diffmusic-app-*")
    assert folder.stat().st_mode & 0o077 == 0
    before = set(folder.rglob("*"))
    for path, body, told in (
        ("files?name=long.wav", sound(40), "long.wav is larger than 1 MB"),
        ("files?name=not.wav", b"no audio at all", "not audio that can be read"),
        ("files?name=", sound(), "the file has no name"),
    ):
        status, _, content = served.ask("POST", path, body)
        assert status == 400
        assert told in json.loads(content)["error"]
    assert set(folder.rglob("*")) == before
    key = served.json("POST", "files?name=..%2F..%2Fa%2Fsong.wav", sound())["key"]
    (kept,) = set(folder.rglob("*.wav")) - before
    assert kept.name == "song.wav"
    assert served.ask("DELETE", f"files/{key}")[0] == 204
    assert not kept.exists()


def test_the_folder_is_gone_when_the_server_is() -> None:
    with serving() as server:
        server.json("POST", "files?name=song.wav", sound())
        assert list(server.temporary.glob("diffmusic-app-*/*/song.wav"))
        server.process.terminate()
        server.process.wait(20)
        assert not list(server.temporary.glob("diffmusic-app-*"))


def test_samples_for_the_player_are_the_files(served: Served) -> None:
    body = sound(channels=2)
    key = served.json("POST", "files?name=song.wav", body)["key"]
    true, _ = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
    status, _, content = served.ask("GET", f"pcm/{key}?first=100&count=500")
    assert status == 200
    assert np.array_equal(np.frombuffer(content, "<f4").reshape(2, -1), true[100:600].T)
    assert len(served.ask("GET", f"pcm/{key}?first=23900&count=500")[2]) == 2 * 100 * 4, "where it ends"
    for query in ("first=0&count=99999999", "first=x&count=1", "first=0&count=-1"):
        assert served.ask("GET", f"pcm/{key}?{query}")[0] == 400
    assert served.ask("GET", f"wave/{key}/40/0")[0] == 400
    assert served.ask("GET", f"spectrum/{key}/3/999")[0] == 400


def test_a_job_is_the_command_that_is_shown(
    served: Served, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = sound()
    key = served.json("POST", "files?name=song.wav", body)["key"]
    form = {
        "task": "solve", "file": key, "operator": "inpainting", "parameters": {"gap": ["0.5:0.6"]},
        "flags": {"solver": "interpolate", "seed": 3},
    }  # fmt: skip
    job = served.json("POST", "jobs", form)
    assert job["line"] == "diffmusic solve inpainting song.wav --gap 0.5:0.6 --solver interpolate --seed 3"
    assert job["line"] == served.json("POST", "line", form)["line"]
    done = served.finished(job["key"])
    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, "")
    _, headers, made = served.ask("GET", f"files/{done['results'][0]}/audio")
    assert 'filename="song.restored.wav"' in headers["content-disposition"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.wav").write_bytes(body)
    assert run(*shlex.split(job["line"])[1:]).code == 0
    assert (tmp_path / "song.restored.wav").read_bytes() == made
    record = json.loads(served.ask("GET", f"jobs/{job['key']}/record")[2])
    own = json.loads((tmp_path / "song.restored.wav.json").read_text())
    assert record["job"] == own["job"]
    difference = served.json("GET", f"files/d-{done['results'][0]}-{key}/info")
    assert difference["samples"] == 24000
    _, _, content = served.ask("GET", f"pcm/{difference['key']}?first=0&count=8000")
    assert not np.frombuffer(content, "<f4").any(), "nothing was changed before the gap"


def test_what_is_wrong_is_told_in_one_line(served: Served) -> None:
    key = served.json("POST", "files?name=song.wav", sound())["key"]
    form = {"task": "solve", "file": key, "operator": "inpainting", "parameters": {"gap": ["1:9"]}, "flags": {}}
    done = served.finished(served.json("POST", "jobs", form)["key"])
    assert done["state"] == "failed"
    assert done["error"] == "gap 1:9 lies outside the recording, which lasts 1.500 s"


def test_forms_are_made_from_the_dataclasses_plugins_included(served: Served) -> None:
    forms = served.json("GET", "forms")
    operators = {each["name"]: each for each in forms["operators"]}
    low = next(each for each in operators["telephone"]["parameters"] if each["name"] == "low")
    assert (low["help"], low["default"], low["kind"]) == ("lower edge, Hz", 300.0, "FLOAT")
    assert forms["owners"]["operator"]["telephone"] == PLUGIN.name
    names = [each["name"] for each in operators["inpainting"]["parameters"]]
    assert {"gap", "region", "mask", "crossfade"} <= set(names)
    assert "sample_rate" not in names
    assert operators["inpainting"]["solver"] == "auto"
    solvers = {each["name"]: each["role"] for each in forms["solvers"]}
    assert solvers["repeat"] == "classical"
    assert forms["defaults"]["solve"]["steps"] == 25


def test_the_form_sets_what_the_page_has_and_nothing_else() -> None:
    form = {"task": "edit", "flags": {"target": "-loud", "segment": ["1:2"], "seed": 1}, "settings": {"order": 2}}
    expected = "edit a.wav --target=-loud --segment 1:2 --seed 1 -s order=2"
    assert words(form, "a.wav") == expected.split()
    solve = {"task": "solve", "operator": "inpainting"}
    assert (
        words({**solve, "parameters": {"equalise": False}}, "a.wav", {"inpainting": ["equalise"]})[-1]
        == "--no-equalise"
    )
    chain = {
        **solve,
        "parameters": {"gap": ["4:5", "6:7"]},
        "then": [{"operator": "clipping", "parameters": {"level": "0.5"}}],
    }
    names = {"inpainting": ["gap"], "clipping": ["level"]}
    assert words(chain, "a.wav", names)[1:] == ["inpainting gap=4:5 gap=6:7 | clipping level=0.5", "a.wav"]
    found = {"task": "explore", "flags": {"components": "2", "segment": ["1:2"]}}
    assert words(found, "a.wav") == ["explore", "a.wav", "--components", "2", "--segment", "1:2"]
    for wrong in (
        {**chain, "then": "clipping"},
        {**solve, "then": [{"operator": "clipping", "parameters": {"output": "x"}}]},
        {"task": "bench"},
        {"task": "solve", "operator": "--help"},
        {**solve, "parameters": {"output": "/etc/passwd"}},
        {**solve, "flags": {"output": "/etc/passwd"}},
        {**solve, "flags": {"config": "x.json"}},
        {**solve, "flags": {"seed": {"a": 1}}},
        {**solve, "settings": {"a b": "c"}},
    ):
        with pytest.raises(InputError):
            words(wrong, "a.wav", {"inpainting": ["gap"]})


def tone(hz: float, rate: int, seconds: float, path: Path, channels: int = 1) -> files.Source:
    time = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * hz * time)[:, None] * np.ones(channels)
    soundfile.write(path, wave, rate, subtype="FLOAT")
    return files.find(path)


def test_loudness_is_that_of_the_standard(tmp_path: Path) -> None:
    """ITU-R BS.1770-5: a sine of 997 Hz at full scale in one channel has -3.01 LUFS."""
    for channels, expected in ((1, -3.01), (2, 0.0)):
        source = tone(997, 48000, 20, tmp_path / "a.wav", channels)
        overview = Overview.empty(source)
        overview.fill(source)
        assert overview.complete
        assert overview.loudness == pytest.approx(expected, abs=0.1)
    silent = tone(0, 48000, 1, tmp_path / "silent.wav")
    overview = Overview.empty(silent)
    overview.fill(silent)
    assert overview.loudness is None


@pytest.mark.parametrize("zoom", [3, 9, 11, 13])
def test_a_tone_lies_in_its_row_at_every_zoom(zoom: int, tmp_path: Path) -> None:
    source = tone(2000, 44100, 30, tmp_path / "a.wav")
    overview = Overview.empty(source)
    overview.fill(source)
    codes = tiles.spectrogram(source, overview, zoom, 0)
    assert codes.shape[0] == ROWS
    middle = codes[:, codes.shape[1] // 2]
    row = ROWS - 1 - int(middle.argmax())
    assert hertz(row / (ROWS - 1) * mel(22050)) == pytest.approx(2000, rel=0.03)
    # A sine of full scale is 0 dB in its bin; a row is the mean of a few.
    assert -6 < middle.max() * STEP + FLOOR <= 0.5


def test_no_sample_is_missed_at_any_zoom(tmp_path: Path) -> None:
    """One sample stands out; every waveform shows it, those that come from the overview too."""
    audio = np.zeros((PEAK * COLUMN, 2))
    audio[123_457, 1] = -0.5
    soundfile.write(tmp_path / "a.wav", audio, 44100, subtype="FLOAT")
    source = files.find(tmp_path / "a.wav")
    overview = Overview.empty(source)
    overview.fill(source)
    for zoom in (0, 5, 8, 12, 20):
        pixel = 123_457 >> zoom
        tile = tiles.waveform(source, overview, zoom, pixel // tiles.WIDTH)
        assert tile[1, pixel % tiles.WIDTH, 0] == -16383, zoom
        assert not tile[0].any()
    with pytest.raises(InputError):
        tiles.waveform(source, overview, 0, len(audio))


def test_pictures_are_pngs(tmp_path: Path) -> None:
    from matplotlib import image

    source = tone(2000, 44100, 3, tmp_path / "a.wav")
    overview = Overview.empty(source)
    overview.fill(source)
    picture = image.imread(io.BytesIO(tiles.picture(tiles.spectrogram(source, overview, 8, 0), overview.top)))
    assert picture.shape[:2] == (ROWS, tiles.WIDTH)
    assert picture[..., :3].max() > 0.9, "the tone is bright"
    assert np.median(picture[..., :3]) < 0.2, "the rest is dark"


def test_the_difference_of_two(tmp_path: Path) -> None:
    one, other = tone(500, 8000, 1, tmp_path / "a.wav"), tone(500, 8000, 2, tmp_path / "b.wav")
    difference = Difference(one, other)
    assert difference.samples == 8000
    assert not difference.read(0, 8000).any()


def test_progress_is_told_in_lines_where_a_program_asks_for_them(
    run: Run, song: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DIFFMUSIC_PROGRESS", "lines")
    words = ("solve", "inpainting", song(), "--gap", "0.5:0.7", "--solver", "repaint", "--steps", 2)
    done = run(*words, "-s", "repeats=1", "-o", tmp_path / "out.wav")
    assert done.code == 0, done.err
    shares = [float(line.split()[1]) for line in done.err.splitlines() if line.startswith("progress ")]
    assert shares == [0.5, 1.0]
