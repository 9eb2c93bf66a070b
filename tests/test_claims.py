"""The checked claims: all 34, each with what is right, a source that is listed, and where it is taught."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parent.parent / "chapters/text/claims_checked.md").read_text("utf-8")
BODY, SOURCES = TEXT.split("\n## Sources and next\n")
CLAIMS = re.split(r"\n### (?=\d)", BODY)[1:]
ROWS = [line.strip("| ").split(" | ") for line in SOURCES.splitlines() if line.startswith("| ")][1:]
LISTED = {cells[0].split(",")[0]: cells[1] for cells in ROWS}
PARTS = ("**Claim.**", "**Right.**", "**Source.**", "**Taught in**")


def sources(claim: str) -> list[str]:
    """The author and year of each source: `Sutton & Barto 2018` from `Sutton & Barto 2018, §3.1; …`."""
    line = re.search(r"\*\*Source\.\*\* (.*?)\. \*\*Taught in\*\*", claim)
    return [re.match(r".*? \d{4}", entry)[0] for entry in line[1].split("; ")]


def test_there_are_34_in_order():
    assert [int(claim.split(" · ")[0]) for claim in CLAIMS] == list(range(1, 35))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.split("\n")[0])
def test_every_claim_has_its_parts(claim):
    places = [claim.find(part) for part in PARTS]
    assert -1 not in places and places == sorted(places), (
        "claim, right statement, source, chapter, in this order"
    )
    assert re.search(r"\*\*Claim\.\*\* \([\d., ]+\)", claim), "say in which section of the article it stands"
    assert re.search(r"\*\*Taught in\*\* \[\w+ · .+?\]\(\w+\.ipynb#", claim), "link to a chapter and heading"
    unknown = [name for name in sources(claim) if name not in LISTED]
    assert not unknown, f"add to the table at the end: {unknown}"


def test_every_source_has_an_address_or_says_that_it_was_not_looked_up():
    for name, how in LISTED.items():
        assert "](http" in how or "source not looked up here" in how, name
    assert set(LISTED) == {name for claim in CLAIMS for name in sources(claim)}, "a source that nobody uses"


def test_nothing_is_quoted_from_the_article():
    assert max(map(len, re.findall(r"[\u4e00-\u9fff]+", TEXT))) <= 7  # 蒙特卡洛树搜索, a name


def test_most_claims_are_shown_by_a_cell():
    assert sum("```{code-cell}" in claim for claim in CLAIMS) >= 30
