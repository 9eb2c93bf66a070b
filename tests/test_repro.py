"""Stored results: given back as they were made, and never trusted when something does not match."""

import os

import numpy as np
import pytest

from course_lib.repro import generators, load_or_run, running, stored


def make(seed):
    make.calls += 1
    return {"x": np.random.default_rng(seed).normal(size=5), "names": np.array(["a", "b"])}


@pytest.fixture(autouse=True)
def _count():
    make.calls = 0


def test_the_second_call_reads_the_file(tmp_path, capsys):
    first = load_or_run(tmp_path / "r.npz", make, seed=3)
    again = load_or_run(tmp_path / "r.npz", make, seed=3)
    assert make.calls == 1
    assert (first["x"] == again["x"]).all() and (first["names"] == again["names"]).all()
    said = capsys.readouterr().out
    assert said.startswith("r.npz: there is no stored result; running make now.") and said.count("\n") == 1


def test_another_seed_is_run_again(tmp_path, capsys):
    load_or_run(tmp_path / "r.npz", make, seed=3)
    load_or_run(tmp_path / "r.npz", make, seed=4)
    assert make.calls == 2 and "seed 3, not 4" in capsys.readouterr().out


@pytest.mark.parametrize("harm", ["cut", "text", "value", "pickle", "format", "about"])
def test_a_broken_file_is_made_again_with_a_message(tmp_path, capsys, harm, monkeypatch):
    path = tmp_path / "r.npz"
    right = load_or_run(path, make, seed=3)
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif harm == "text":
        path.write_text("not a result")
    elif harm in ("value", "pickle", "about"):
        with np.load(path) as file:
            arrays = dict(file)
        new = {"value": arrays["x"] + 1e-12, "pickle": np.array([{}], dtype=object), "about": np.array("[1]")}
        arrays[harm if harm == "about" else "x"] = new[harm]
        np.savez(path, **arrays)
    else:
        monkeypatch.setattr("course_lib.repro.FORMAT", 99)
    capsys.readouterr()
    again = load_or_run(path, make, seed=3)
    assert make.calls == 2 and (again["x"] == right["x"]).all()
    assert "running make now" in capsys.readouterr().out


def test_an_interrupted_run_leaves_no_file(tmp_path):
    def interrupted(seed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_or_run(tmp_path / "r.npz", interrupted, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_gives_the_results(tmp_path, monkeypatch, capsys):
    path = tmp_path / "r.npz"
    load_or_run(path, make, seed=3)
    old = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    found = load_or_run(path, make, seed=4)
    assert (found["x"] == make(4)["x"]).all()
    assert "r.npz: could not be stored (No space left on device)." in capsys.readouterr().out
    assert path.read_bytes() == old and len(list(tmp_path.iterdir())) == 1


def test_an_unfinished_run_lies_beside_its_results_until_they_are_stored(tmp_path):
    path, seen = tmp_path / "r.npz", []

    def goes_on(seed):
        seen.append(part := running("part"))
        part.parent.mkdir(exist_ok=True)
        if not part.exists():
            part.write_text("half way")
            raise KeyboardInterrupt
        assert part.read_text() == "half way"
        return make(seed)

    with pytest.raises(KeyboardInterrupt):
        load_or_run(path, goes_on, seed=1)
    assert seen == [tmp_path / "r.unfinished" / "part.pt"] and seen[0].exists()
    load_or_run(path, goes_on, seed=1)
    assert list(tmp_path.iterdir()) == [path]
    assert tmp_path not in running("part").parents, "outside of load_or_run: the temporary folder"


@pytest.mark.parametrize(
    "harm, error", [("gone", FileNotFoundError), ("cut", ValueError), ("seed", ValueError)]
)
def test_what_another_chapter_stored_is_checked_too(tmp_path, harm, error):
    path = tmp_path / "13_nets.npz"
    right = load_or_run(path, make, seed=3)
    assert (stored(path, seed=3)["x"] == right["x"]).all()
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(error, match=r"13_nets.npz: .*\. Chapter 13 makes it: open that notebook and run all"):
        stored(path, seed=3 if harm != "seed" else 4)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_stored_file_may_be_read_by_others(tmp_path):
    load_or_run(tmp_path / "x.npz", lambda seed: {"x": np.ones(2)}, seed=0)
    assert (tmp_path / "x.npz").stat().st_mode & 0o777 == 0o644


def test_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="arrays of numbers or text"):
        load_or_run(tmp_path / "r.npz", lambda seed: {"x": np.array([{}], dtype=object)}, seed=1)


def test_generators_are_independent_and_do_not_depend_on_how_many():
    few, many = generators(7, 2), generators(7, 5)
    assert [g.random() for g in few] == [g.random() for g in many[:2]]
    assert len({g.random() for g in many}) == 5
