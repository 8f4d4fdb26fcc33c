"""All files are written, or none."""

from pathlib import Path

import pytest

from diffmusic.errors import InputError
from diffmusic.jobs import outputs


def test_every_file_is_written_with_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    outputs.write({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "b").read_bytes() == b"2"
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_one_that_fails_leaves_none_and_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(InputError, match="cannot be written"):
        outputs.write({tmp_path / "a": b"after", tmp_path / "new" / "c": b"2", tmp_path / "a" / "b": b"2"})
    assert (tmp_path / "a").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_check_leaves_no_trace(tmp_path: Path) -> None:
    outputs.check([tmp_path / "a"], [])
    assert list(tmp_path.iterdir()) == []


def test_the_same_path_by_another_name_is_the_input(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="would overwrite an input"):
        outputs.check([tmp_path / "x" / ".." / "a"], [tmp_path / "a"])
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="would overwrite an input"):
        outputs.check([tmp_path / "hard"], [tmp_path / "a"])
