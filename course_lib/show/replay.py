"""Many pictures of one kind as the first one and what changes: the data that `scrub.js` replays."""

from collections.abc import Sequence
from xml.etree import ElementTree


def encode(pictures: Sequence[str]) -> dict:
    """What turns any of the pictures into any other, for a script that only sets attributes and texts.

    slots    the places that ever differ: (number of the element in document order, attribute or '' for text)
    strings  what is ever put there
    frames   for each picture the changes since the picture before, as [slot, string, slot, string, …]; the
             first sets every slot
    """
    shapes, contents = zip(*map(_read, pictures), strict=True)
    for k, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"draw makes other elements for frame {k} than for the first, {_unlike(shape, shapes[0])}: "
                "draw the same ones in every frame, and hide those that are not needed (opacity='0')."
            )
    differ = [i for i, column in enumerate(zip(*contents, strict=True)) if len(set(column)) > 1]
    codes: dict[str, int] = {}
    rows = [[codes.setdefault(content[i], len(codes)) for i in differ] for content in contents]
    places = [(e, name) for e, (_, _, _, *names) in enumerate(shapes[0]) for name in (*names, "")]
    frames = [_changes(old, new) for old, new in zip([[None] * len(differ), *rows], rows, strict=False)]
    return {"slots": [places[i] for i in differ], "strings": list(codes), "frames": frames}


def _changes(old: list, new: list[int]) -> list[int]:
    return [x for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b for x in (i, b)]


def _read(picture: str) -> tuple[list[tuple], list[str]]:
    """A picture's shape, the same in all, and its contents, which may differ: attributes and texts.

    Elements in document order with their number of children fix the tree. Text beside child elements belongs
    to the shape, for no script could set it without touching the children.
    """
    shape, contents = [], []
    for element in ElementTree.fromstring(picture).iter():
        words, mixed = element.text or "", len(element) > 0
        shape.append((element.tag, len(element), (words * mixed, element.tail or ""), *element.attrib))
        contents += [*element.attrib.values(), "" if mixed else words]
    return shape, contents


def _unlike(shape: list[tuple], first: list[tuple]) -> str:
    """Where two shapes part, in words."""
    for element, wanted in zip(shape, first, strict=False):
        if element != wanted:
            return f"{_said(element)} where that has {_said(wanted)}"
    return f"{len(shape)} elements where that has {len(first)}"


def _said(element: tuple) -> str:
    tag, children, _, *names = element
    return f"<{tag.rpartition('}')[2]}> ({', '.join(names) or 'no attributes'}; {children} inside)"
