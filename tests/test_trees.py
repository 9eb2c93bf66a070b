"""The search tree and the nine squares: right numbers in the drawing, right sentence, bad input."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from course_lib.show import trees
from course_lib.show.boards import alt_of
from course_lib.show.style import ACCENT, shade
from course_lib.worlds.games import TicTacToe

NODES = [(), (1,), (1, 0), (1, 2), (3,), (3, 0)]
FOUND = {(): (5, 0.0), (1,): (4, -0.25), (1, 2): (2, 1.0)}


def parts(picture):
    """Every element of the picture as (its tag, its attributes, its text)."""
    return [
        (e.tag.rpartition("}")[2], e.attrib, e.text or "") for e in ElementTree.fromstring(picture).iter()
    ]


def boxes(picture):
    """[(its group's opacity, its rect, its two texts)], in the order of the nodes."""
    groups = [g for g in ElementTree.fromstring(picture) if g.tag.endswith("}g")]
    found = []
    for group in groups:
        kids = list(group)
        if kids[0].tag.endswith("}rect"):
            found.append((group.get("opacity"), kids[0].attrib, [kid.text or "" for kid in kids[1:]]))
    return found


def test_each_node_holds_its_visits_over_its_value_and_the_root_its_visits_alone():
    drawn = dict(zip(NODES, boxes(trees.tree(NODES, FOUND)), strict=True))
    assert drawn[()][2] == ["5", ""]
    assert drawn[1,][2] == ["4", "-0.25"] and drawn[1, 2][2] == ["2", "1.00"]
    assert drawn[1,][1]["fill"] == shade(-0.25, -1, 1) and drawn[1, 2][1]["fill"] == shade(1.0, -1, 1)
    assert [opacity for opacity, *_ in drawn.values()] == ["1", "1", "0", "1", "0", "0"]
    assert drawn[3,][2] == ["", ""]


def test_the_way_of_the_last_simulation_is_outlined():
    picture = trees.tree(NODES, FOUND, (1, 2))
    outlined = [node for node, box in zip(NODES, boxes(picture), strict=True) if box[1]["stroke"] == ACCENT]
    assert outlined == [(), (1,), (1, 2)]
    lines = [a["stroke"] for tag, a, _ in parts(picture) if tag == "path"]
    assert lines.count(ACCENT) == 2 and len(lines) == len(NODES) - 1


def test_children_stand_below_their_parent_and_apart_from_each_other():
    rects = {node: box[1] for node, box in zip(NODES, boxes(trees.tree(NODES, FOUND)), strict=True)}
    x = {node: float(rect["x"]) for node, rect in rects.items()}
    y = {node: float(rect["y"]) for node, rect in rects.items()}
    assert x[1,] == pytest.approx((x[1, 0] + x[1, 2]) / 2, abs=0.1) and x[3,] == x[3, 0]
    assert y[()] < y[1,] == y[3,] < y[1, 0] == y[3, 0]
    side = float(rects[()]["width"])
    assert x[1, 0] + side <= x[1, 2] and x[1, 2] + side <= x[3, 0]


def test_the_sentence_gives_the_moves_of_the_root():
    said = alt_of(trees.tree(NODES, FOUND, title="simulation 5"))
    assert said == "simulation 5: 3 nodes; move 1: 4 visits, value -0.25."
    assert "no move was tried" in alt_of(trees.tree(NODES, {(): (0, 0.0)}))


def test_frames_have_the_same_elements_however_far_the_tree_has_grown():
    kinds = [
        [tag for tag, *_ in parts(trees.tree(NODES, f, w))] for f, w in ((FOUND, (1, 2)), ({(): (0, 0)}, ()))
    ]
    assert kinds[0] == kinds[1]


def test_lines_of_play_are_all_of_them_parents_first():
    nodes = list(trees.lines_of_play(TicTacToe.after([0, 4, 3, 5, 7])))
    assert len(nodes) == len(set(nodes)) and nodes[0] == ()
    assert all(node[:-1] in nodes[:k] for k, node in enumerate(nodes) if node)
    assert (6,) in nodes and (2, 6) in nodes and (2, 6, 1) not in nodes  # X has won there


def test_snapshot_and_line_to_read_a_tree_of_nodes():
    root = SimpleNamespace(N=3, Q=0.0, children={}, parent=None, action=None)
    child = SimpleNamespace(N=2, Q=0.5, children={}, parent=root, action=6)
    leaf = SimpleNamespace(N=1, Q=-1.0, children={}, parent=child, action=2)
    root.children[6], child.children[2] = child, leaf
    assert trees.snapshot(root) == {(): (3, 0.0), (6,): (2, 0.5), (6, 2): (1, -1.0)}
    assert trees.line_to(leaf) == (6, 2) and trees.line_to(root) == ()


def test_squares_show_stones_numbers_and_counts():
    board = TicTacToe.after([0, 4]).board
    picture = trees.squares(board, {1: -0.5, 8: 0.25}, {1: 7, 8: 30}, marks=[8], title="O plays 8")
    words = [text for tag, _, text in parts(picture) if tag == "text" and text]
    assert words == ["O plays 8", "X", "-0.50", "7", "O", "0.25", "30"]
    assert sum(a.get("stroke") == ACCENT for tag, a, _ in parts(picture) if tag == "rect") == 1
    assert "O plays 8" in alt_of(picture) and "open -0.50 open" in alt_of(picture)


BAD = {
    r"\(1, 2\) stands before its parent \(1,\)": lambda: trees.tree([(), (1, 2), (1,)], {}),
    r"\(7,\) has no place": lambda: trees.tree(NODES, {(7,): (1, 0.0)}),
    r"\(\) has no place": lambda: trees.tree([], {}),
    r"board has shape \(6, 7\)": lambda: trees.squares(np.zeros((6, 7)), {}),
    "square 4 is not free": lambda: trees.squares(TicTacToe.after([4]).board, {4: 0.5}),
    "square 9 is not free": lambda: trees.squares(TicTacToe().board, {}, {9: 3}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_says_so(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
