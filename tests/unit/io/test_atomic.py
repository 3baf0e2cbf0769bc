"""Guards that files appear whole or not at all, and that a full disk is named."""

import errno
import os
import resource

import pytest

from cairn.errors import CairnError
from cairn.io.atomic import atomic_path, disk_errors, read_json, remove_left_overs, write_bytes, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_nan_never_reaches_a_json_file(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, monkeypatch, number, call):
    write_json(tmp_path / "a.json", {"x": 1})

    def full(*arguments):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, pytest.raises(CairnError) as caught:  # noqa: PT012
        patch.setattr(os, call, full)
        write_bytes(tmp_path / "a.json", bytes(12345))
    assert caught.value.code == "disk"
    assert caught.value.reason.startswith(f"{tmp_path}: {os.strerror(number)} (writing a.json: 12,345 bytes needed, ")
    assert "nothing is lost" in caught.value.remedy
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("error", "disk"),
    [
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("Error while deserializing: header too large"), False),
        (RuntimeError("I/O error: Permission denied (os error 13)"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (OSError("no number"), False),
    ],
)
def test_only_errors_of_a_full_disk_are_translated(tmp_path, error, disk):
    with pytest.raises(CairnError if disk else type(error)) as caught, disk_errors(tmp_path / "not/there/a"):
        raise error
    assert disk == (getattr(caught.value, "code", None) == "disk")


@pytest.mark.parametrize("writer", ["bytes", "safetensors"])
def test_a_real_limit_of_file_size(tmp_path, writer):
    import torch

    from cairn.nets.weights import save_weights

    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
            if writer == "bytes":
                write_bytes(path, bytes(80_000))
            else:
                save_weights(path, {"x": torch.zeros(20_000)}, {})
        except CairnError as error:
            code = 0 if error.code == "disk" and "80,000 bytes needed" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_left_overs_of_a_killed_writer_go(tmp_path):
    for name in (".tmp-abc.safetensors", ".tmpAbCdEf", "kept.safetensors", ".lock"):
        (tmp_path / name).touch()
    remove_left_overs(tmp_path)
    remove_left_overs(tmp_path / "missing")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "kept.safetensors"]
