"""Paths in the plane: the same elements in every frame, the goal and the ends where they are said to be."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from course_lib.show import plane
from course_lib.show.boards import alt_of


def picture(points, goal=(0.5, -0.5), **more):
    return plane.paths(np.asarray(points, float), goal, title="after 1 step", **more)


def test_frames_have_the_same_elements_and_the_sentence_the_distance():
    rng = np.random.default_rng(0)
    one, other = (picture(rng.normal(size=(3, 10, 2))) for _ in range(2))
    assert [e.tag for e in ElementTree.fromstring(one).iter()] == [
        e.tag for e in ElementTree.fromstring(other).iter()
    ]
    straight = [[[0, 0], [0.5, -0.25]], [[0, 0], [0.5, 0.0]]]
    assert "2 paths end on average 0.38 from the goal" in alt_of(picture(straight))


def test_ends_are_dots_and_far_points_stay_at_the_edge():
    circles = re.findall(
        r"<circle cx='(\d+)' cy='(\d+)' r='4'", picture([[[0, 0], [9, 9]], [[0, 0], [-9, 0]]])
    )
    left, top, side = plane.LEFT, plane.TOP, plane.SIDE
    assert [(int(x), int(y)) for x, y in circles] == [(left + side, top), (left, top + side // 2)]


@pytest.mark.parametrize("points", [np.zeros((3, 2)), np.zeros((0, 4, 2)), np.zeros((2, 4, 3))])
def test_other_shapes_are_refused(points):
    with pytest.raises(ValueError, match=r"\[n, T, 2\]"):
        plane.paths(points, (0, 0))
    with pytest.raises(ValueError, match="low < high"):
        plane.paths(np.zeros((1, 2, 2)), (0, 0), limits=(1, 1))


def test_the_target_lies_at_one_and_zero_and_what_is_across_at_zero():
    rng = np.random.default_rng(1)
    target, other = rng.normal(size=(2, 4, 2))
    columns = plane.axes(target, other)
    assert np.allclose(target.ravel() @ columns, [1, 0])
    assert np.allclose(columns.T @ columns * np.linalg.norm(target) ** 2, np.eye(2))
    assert (other.ravel() @ columns)[1] > 0
