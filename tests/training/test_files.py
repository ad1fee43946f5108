"""The files of a run survive a kill and a loss of power."""

import json
import os

import pytest
import torch

from equipoise._core.files import write_text
from equipoise.training.checkpoints import is_intact, write_tensors
from equipoise.training.logs import Log, read_log


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    path.write_text("old")
    then = []
    monkeypatch.setattr(os, "fsync", lambda number: then.append(path.read_text()))
    write_text(path, "new")
    assert then == ["old"]
    assert path.read_text() == "new"


def test_tensors_that_are_not_what_was_written_are_noticed(tmp_path):
    path = tmp_path / "tensors.pt"
    write_tensors(path, {"a": torch.arange(5000), "b": {"c": "text"}})
    assert is_intact(path)
    content = path.read_bytes()
    half = content[: len(content) // 2]
    for damaged in (b"", half, half + bytes(100) + content[len(half) + 100 :], bytes(len(content))):
        path.write_bytes(damaged)
        assert not is_intact(path)


def test_a_log_that_is_taken_up_is_never_short_of_lines(tmp_path, monkeypatch):
    with Log(tmp_path, 0, 0) as log:
        for epoch in (1, 2, 3):
            log.write(epoch, 2 * epoch, "train", loss={"a": 1.0, "b": float("nan")})
    before = read_log(tmp_path)

    def killed(content: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", killed)
        with pytest.raises(KeyboardInterrupt):
            Log(tmp_path, 2, 4)
    assert read_log(tmp_path) == before
    with Log(tmp_path, 2, 4) as log:
        log.write(3, 6, "train", loss={"a": 2.0})
    assert read_log(tmp_path) == [*before[:2], {"epoch": 3, "step": 6, "split": "train", "loss": {"a": 2.0}}]
