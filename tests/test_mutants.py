"""The tool that breaks the library: its rooms exist, its sample is fixed, and what survives is shown."""

import importlib.util

import pytest

from tools import mutants

MADE = """
def x_double__mutmut_orig(x):
    return 2 * x
def x_double__mutmut_1(x):
    return 3 * x
def x_double__mutmut_2(x):
    return 2 / x
mutants_x_double = {"x_double__mutmut_1": x_double__mutmut_1}
"""
RESULTS = """    course_lib.meta.maml.x_double__mutmut_1: killed
    course_lib.meta.maml.x_double__mutmut_2: survived
"""


@pytest.mark.parametrize("room", mutants.ROOMS)
def test_modules_and_tests_of_a_room_exist(room):
    modules, tests = mutants.ROOMS[room]
    assert all((mutants.ROOT / "course_lib" / module).is_file() for module in modules)
    assert all((mutants.ROOT / "tests" / f"test_{test}.py").is_file() for test in tests)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A folder in which mutmut has made two mutants of one function, and one survived."""
    path = tmp_path / "mutants" / "course_lib" / "meta" / "maml.py"
    path.parent.mkdir(parents=True)
    path.write_text(MADE, encoding="utf-8")
    said = {"results": RESULTS, "show": "--- a\n+++ b\n-    return 2 * x\n+    return 2 / x\n"}
    monkeypatch.setattr(mutants, "mutmut", lambda folder, command, *_: said[command])
    return tmp_path


def test_the_original_is_no_mutant(made):
    names = mutants.names_of(made, mutants.ROOMS["maml"])
    assert names == [f"course_lib.meta.maml.x_double__mutmut_{k}" for k in (1, 2)]


def test_a_survivor_lowers_the_score_and_is_shown_with_its_line(made, capsys):
    names = mutants.names_of(made, mutants.ROOMS["maml"])
    mutants.report("maml", made, names, of=2)
    shown = capsys.readouterr().out
    assert "mutmut_2: survived" in shown and "+    return 2 / x" in shown and "mutmut_1" not in shown
    assert "maml: 1 of 2 mutants noticed (50%), of 2 in all" in shown


def test_a_mutant_that_was_not_run_does_not_count_as_noticed(made, capsys):
    mutants.report("maml", made, ["course_lib.meta.maml.x_other__mutmut_9"], of=1)
    assert "not run" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("mutmut"), reason="course.py mutants installs mutmut")
def test_a_room_is_run_from_end_to_end(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mutants", "maml", "--sample", "3"])
    mutants.main()
    assert "of 3 mutants noticed" in capsys.readouterr().out
