"""The pictures of chapter 05: the right numbers at the right places, and a sentence with them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_show import elements, texts

from course_lib.show import boards, estimates, style

TABLE = np.arange(100).reshape(10, 10) / 100  # row 0: sum 12; column 0: the dealer's ace


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def squares(picture: str) -> list[tuple[float, float, str]]:
    """x, y and colour of every square of a table, row by row from the bottom."""
    found = [a for tag, a, _ in elements(picture) if tag.endswith("rect") and a.get("rx") == "2"]
    return [(float(a["x"]), float(a["y"]), a["fill"]) for a in found]


def test_a_hand_has_its_number_and_its_colour_with_the_lowest_sum_at_the_bottom():
    picture = estimates.hands(TABLE, "V", digits=2)
    numbers = [words for words in texts(picture) if words.startswith("0.")]
    assert numbers == [f"{v:.2f}" for v in TABLE.ravel()]
    places = squares(picture)
    assert [fill for *_, fill in places] == [style.shade(v, -1, 1) for v in TABLE.ravel()]
    xs, ys = ([place[i] for place in places] for i in (0, 1))
    assert xs[:10] == sorted(xs[:10]) and xs[:10] == xs[90:]
    assert ys[0] == max(ys) and ys[90] == min(ys) and len(set(ys[:10])) == 1


def test_hands_are_named_by_sum_and_dealers_card():
    words = texts(estimates.hands(TABLE, "after 7 games", digits=2))
    sums, cards = map(str, range(12, 22)), ("A", *map(str, range(2, 11)))
    names = ("after 7 games", "dealer's card", "your sum", *cards, *sums)
    assert sorted(name for name in words if not name.startswith("0.")) == sorted(names)


def test_the_limits_set_the_colours_only():
    narrow, wide = (estimates.hands(TABLE, "V", limits=(-x, x), digits=2) for x in (1, 2))
    assert texts(narrow) == texts(wide)
    assert squares(narrow)[50][2] != squares(wide)[50][2]


def test_the_sentence_has_the_range():
    sentence = boards.alt_of(estimates.hands(TABLE * 2 - 1, "no ace"))
    assert sentence == "no ace: from -1.0 to 1.0 over sums 12 to 21 and all dealer's cards."


def test_every_frame_has_the_same_elements():
    first, second = (elements(estimates.hands(x, "V")) for x in (TABLE, -TABLE[::-1]))
    assert [tag for tag, *_ in first] == [tag for tag, *_ in second]


def test_tables_of_another_size_are_refused():
    for wrong in (np.zeros((9, 10)), np.zeros((10, 11)), np.zeros(100)):
        with pytest.raises(ValueError, match=r"10 sums by 10 dealer's cards"):
            estimates.hands(wrong, "V")
    with pytest.raises(ValueError, match="NaN"):
        estimates.hands(np.where(TABLE == 0, np.nan, TABLE), "V")


def test_running_means_close_in_on_the_line(ax):
    means = np.array([[1.0, 0.5, 0.0], [-1.0, 0.0, 0.25]])
    assert estimates.closing_in(means, 0.2, ax, sigma=3.0) is ax
    *runs, low, high, line = ax.lines
    assert [run.get_ydata().tolist() for run in runs] == means.tolist()
    assert all(run.get_xdata().tolist() == [1, 2, 3] for run in runs)
    assert list(line.get_ydata()) == [0.2, 0.2]
    band = 1.96 * 3 / np.sqrt([1, 2, 3])
    assert np.allclose(high.get_ydata(), 0.2 + band) and np.allclose(low.get_ydata(), 0.2 - band)
    assert ax.get_xscale() == "log" and (ax.get_xlabel(), ax.get_ylabel()) == ("episodes n", "estimate")


def test_without_sigma_there_is_no_funnel(ax):
    estimates.closing_in(np.zeros((4, 5)), 1.0, ax)
    assert len(ax.lines) == 4 + 1


def test_the_error_stands_beside_its_law(ax):
    rms = np.array([2.0, 1.5, 1.1, 1.0])
    assert estimates.error_falls(rms, 2.0, ax) is ax
    measured, law = ax.lines
    assert measured.get_ydata().tolist() == rms.tolist() and measured.get_xdata().tolist() == [1, 2, 3, 4]
    assert np.allclose(law.get_ydata(), [2, 2 / np.sqrt(2), 2 / np.sqrt(3), 1])
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert [words.get_text() for words in ax.get_legend().get_texts()] == ["measured", "σ/√n"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ax: estimates.closing_in(np.zeros(5), 0.0, ax), r"means has shape \(5,\)"),
        (lambda ax: estimates.closing_in(np.zeros((2, 0)), 0.0, ax), r"means has shape \(2, 0\)"),
        (lambda ax: estimates.closing_in(np.zeros((2, 3)), 0.0, ax, sigma=-1.0), "sigma is -1.0"),
        (lambda ax: estimates.error_falls(np.zeros((2, 3)), 1.0, ax), r"rms has shape \(2, 3\)"),
        (lambda ax: estimates.error_falls(np.ones(3), 0.0, ax), "sigma is 0.0"),
    ],
)
def test_bad_input_is_named(ax, call, message):
    with pytest.raises(ValueError, match=message):
        call(ax)
