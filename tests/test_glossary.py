"""The glossary: every link leads to a heading; every chapter's symbol and every term of the article is in."""

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.cells import Cell, headings

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"
GLOSSARY = CHAPTERS / "text/glossary.md"
LINK = re.compile(r"\[(\w+)\]\((\w+)\.ipynb#(\S+?)\)(?=[,)\s]|$)")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
GREEK = {"ε": "epsilon", "λ": "lambda"}  # how a Greek letter is sorted
LATEX = {r"\hat": "\u0302", r"\bar": "\u0304", r"\mid": "|", r"\lVert": "‖", r"\rVert": "‖", r"\cdot": "·"}
LATEX |= {"'": "′", r"\odot": "⊙", "∣": "|", r"\nabla": "∇", r"\ldots": "…"}
LATEX |= {f"\\{name}": letter for name, letter in zip(
    "alpha gamma delta Delta varepsilon eta theta lambda mu pi rho sigma tau varphi phi beta".split(),
    "αγδΔεηθλμπρστφφβ", strict=True)}  # fmt: skip

# Terms that stand in no chapter's list of symbols, and must link to a chapter as soon as there is one.
BELONGS = {
    "16": ["evidence lower bound", "encoder", "PEARL", "VariBAD", "posterior sampling"],
    "18": ["model-based meta-RL", "surrogate model"],
    "19": ["fine-tuning", "frozen parameters", "source task", "target task"],
    "21": ["algorithm distillation", "learned objective", "offline meta-RL", "task shift", "transformer"],
    "22": ["interquartile mean"],
}

# The terms of the Chinese article that the course began with, and their names in this course.
ARTICLE = {
    "强化学习": "reinforcement learning",
    "环境": "environment",
    "智能体": "agent",
    "状态": "state",
    "观测值": "observation",
    "历史观测值": "history",
    "动作": "action",
    "离散动作空间": "discrete actions",
    "奖励": "reward",
    "奖赏": "reward",
    "奖赏矩阵": "reward matrix",
    "累计奖赏": "return",
    "回报": "return",
    "折扣因子": "discount",
    "策略": "policy",
    "最优策略": "optimal policy",
    "值函数": "value",
    "状态价值函数": "value",
    "Q 函数": "action value",
    "Bellman 方程": "Bellman equation",
    "马尔可夫决策过程": "Markov decision process",
    "有限 MDP": "Markov decision process",
    "概率图模型": "probabilistic graphical model",
    "状态转移概率": "transition probability",
    "初始状态": "initial distribution",
    "终止状态": "terminal state",
    "子任务": "sub-task",
    "动态规划": "dynamic programming",
    "策略评估": "policy evaluation",
    "策略提升": "policy improvement",
    "策略改进": "policy improvement",
    "策略迭代": "policy iteration",
    "停止准则": "stopping rule",
    "有向无环图": "directed acyclic graph",
    "蒙特卡洛法": "Monte Carlo",
    "Q-学习": "Q-learning",
    "Reward 偏置": "maximisation bias",
    "蒙特里斯坦最短路径算法": "Monte-Carlo tree search",
    "蒙特卡洛树搜索": "Monte-Carlo tree search",
    "模型": "model",
    "基于模型的强化学习": "model-based RL",
    "神经网络强化学习": "neural network",
    "局部最优解": "local optimum",
    "样本稀疏": "sample efficiency",
    "元强化学习": "meta-reinforcement learning",
    "元策略": "metapolicy",
    "元学习": "meta-learning",
    "元学习器": "meta-learning",
    "逆强化学习": "inverse reinforcement learning",
    "奖励机制": "reward design",
    "专家系统": "expert system",
    "源任务": "source task",
    "目标任务": "target task",
    "基于梯度的元强化学习": "meta policy gradient",
    "元策略迭代": "meta-policy iteration",
    "梯度": "gradient",
    "VFA": "function approximation",
    "超参数": "hyperparameter",
    "DQN": "DQN",
    "MAML": "MAML",
    "基于模型的元强化学习": "model-based meta-RL",
    "元模型": "model-based meta-RL",
    "代理模型": "surrogate model",
    "损失函数": "loss",
    "模型操控": "model-based controller",
    "交叉熵": "cross-entropy",
    "联合训练": "joint training",
    "微调": "fine-tuning",
    "泛化": "generalisation",
    "过拟合": "overfitting",
    "权重": "weight",
    "偏置": "bias (of a layer)",
    "弹性元学习": "flexible regularization",
    "惩罚项": "penalty",
    "惩罚系数": "coefficient",
    "正则化": "regularization",
}


class Term(NamedTuple):
    english: str
    chinese: str
    symbols: str
    meaning: str
    links: str


class Symbol(NamedTuple):
    signs: str
    meaning: str


def table(kind: type, text: str, start: str) -> list:
    """The rows of all tables of one kind, each row by the beginning of its line."""
    rows = [line.strip("| ") for line in text.splitlines() if re.match(start, line)]
    return [kind(*(cell.strip() for cell in re.split(r" \|(?: |(?=\|))", row))) for row in rows]


TEXT = GLOSSARY.read_text(encoding="utf-8")
TERMS = table(Term, TEXT, r"\| \*\*")
SYMBOLS = table(Symbol, TEXT.split("\n## Symbols\n")[1].split("\n## A\n")[0], r"\| (?!symbol)")
NAMES = {term.english.strip("*"): term for term in TERMS}


def linked(cell: str) -> set[str]:
    """The chapters, such as 03 or 11b, to which a cell links."""
    return {number for number, _, _ in LINK.findall(cell)}


def pending(cell: str) -> set[str]:
    """The chapters that a cell names without a link, because they are not there yet."""
    return set(re.findall(r"(?:^|[ (])(\d\d[a-z]?)(?=$|[,)])", cell))


def existing() -> dict[str, Path]:
    """The chapters whose text and notebook are both there, by number."""
    texts = sorted((CHAPTERS / "text").glob("[0-9]*.md"))
    return {p.stem.split("_")[0]: p for p in texts if (CHAPTERS / f"{p.stem}.ipynb").exists()}


# Symbols, whichever way they are written


def canonical(symbol: str) -> str:
    r"""`$\hat\mu_k$`, `μ̂_k` and `\hat \mu_k` are the same."""
    symbol = symbol.replace("$", "").replace(r"\,", "")
    symbol = re.sub(r"\\(hat|bar)\s*\{?(\\?[A-Za-z]+)\}?", r"\2\\\1", symbol)
    symbol = re.sub(r"\\[A-Za-z]+|['∣]", lambda found: LATEX.get(found[0], found[0]), symbol)
    return unicodedata.normalize("NFD", re.sub(r"[\s{}]", "", symbol))


def split(text: str, at: str = ",;") -> list[str]:
    """Cut at commas and semicolons that stand in no parentheses."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character in at and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return [piece.strip() for piece in pieces]


def signs(cell: str) -> list[str]:
    r"""The symbols at the beginning of each piece of `$\mu_k$, $\hat\mu_k$ mean and estimate of arm k`."""
    found = []
    for piece in split(
        re.sub(r"\$([^$]*)\$", lambda m: " , ".join(f"${x}$" for x in split(m[1], ",")), cell)
    ):
        sign = re.match(r"\$[^$]+\$|[^\s(]+(\([^)]*\))?", piece)
        if sign and is_symbol(sign[0]):
            found.append(canonical(sign[0]))
    return found


def is_symbol(sign: str) -> bool:
    letters = [c for c in unicodedata.normalize("NFD", sign) if c.isalpha()]
    return sign.startswith("$") or len(letters) <= 1 or sign.isupper() or "(" in sign


def new_symbols(path: Path) -> list[str]:
    """What a chapter's Summary lists behind "New symbols:"."""
    line = re.search(r"^New symbols: (.*?)\.?$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [sign for entry in (line[1] if line else "").split(" · ") for sign in signs(entry)]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (r"$\mu_k$, $\hat\mu_k$ mean and estimate of arm k", ["μ_k", "μ\u0302_k"]),
        ("Beta(a, b)", ["Beta(a,b)"]),
        ("m, M the smallest and largest change", ["m", "M"]),
        ("θ parameters, θ⁻ the old copy", ["θ", "θ⁻"]),
        ("A, B its matrices; Q, R its costs", ["A", "B", "Q", "R"]),
        ("M memory, the learned model", ["M"]),
        (r"$\pi(a \mid s)$", ["π(a|s)"]),
        (r"λ (`reg`) the penalty's coefficient", ["λ"]),
        (r"δ the size ($\delta_t$ stays the TD error)", ["δ"]),
        (r"$f_k$, $\bar f_k$ a feature, and over a life", ["f_k", "f\u0304_k"]),
        ("ĝ, n estimate of a gain", ["g\u0302", "n"]),
    ],
)
def test_symbols_are_read_from_a_summary(entry, expected):
    assert signs(entry) == [unicodedata.normalize("NFD", sign) for sign in expected]


# The glossary itself


def test_there_are_terms_with_all_their_parts():
    assert len(TERMS) > 200 and len(SYMBOLS) > 60
    for term in TERMS:
        assert re.fullmatch(r"\*\*.+\*\*", term.english) and CHINESE.search(term.chinese), term
        assert term.meaning.endswith(".") and term.meaning.count(". ") == 0, f"one sentence: {term}"
        assert "$" not in term.meaning, f"the search cannot show formulas: {term}"


def sort_key(term: Term) -> list[str]:
    name = "".join(GREEK.get(c, c) for c in term.english).casefold()
    return re.sub(r"[^a-z0-9 ]", " ", unicodedata.normalize("NFKD", name)).split()


def test_terms_stand_in_alphabetical_order_under_their_letter():
    keys = [sort_key(term) for term in TERMS]
    assert keys == sorted(keys), next(
        t.english for t, a, b in zip(TERMS, keys, sorted(keys), strict=True) if a != b
    )
    letter = ""
    for line in TEXT.splitlines():
        if heading := re.fullmatch(r"## ([A-Z])", line):
            letter = heading[1]
        if line.startswith("| **"):
            assert sort_key(table(Term, line, r"\|")[0])[0][0].upper() == letter, line


def test_no_term_stands_twice_in_either_language():
    english = [term.english.casefold() for term in TERMS]
    chinese = [re.split("[（(]", term.chinese)[0] for term in TERMS]
    for names in (english, chinese):
        assert len(names) == len(set(names)), {name for name in names if names.count(name) > 1}


@cache
def anchors(stem: str) -> set[str]:
    """The headings of a chapter as JupyterLab links to them."""
    text = Cell("markdown", (CHAPTERS / f"text/{stem}.md").read_text(encoding="utf-8"))
    return {heading.title.replace(" ", "-") for heading in headings(text)}


def test_every_link_leads_to_a_heading_of_the_chapter_it_names():
    built, faults = {number: path.stem for number, path in existing().items()}, []
    for row in [*TERMS, *SYMBOLS]:
        links = LINK.findall(row[-1])
        for number in sorted(pending(row[-1]) & set(built)):
            faults.append(
                f"{row[0]}: chapter {number} is there, so make {number} a link to one of its headings"
            )
        if len(links) != row[-1].count("](") or not (links or pending(row[-1])):
            faults.append(f"{row[0]}: every link has the form [03](03_name.ipynb#Heading-with-hyphens)")
        for number, stem, anchor in links:
            if built.get(number) != stem:
                faults.append(f"{row[0]}: there is no notebook {stem}, or it is not chapter {number}")
            elif anchor not in anchors(stem):
                faults.append(f"{row[0]}: {stem} has no heading {anchor}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", existing().values(), ids=lambda path: path.stem)
def test_every_symbol_of_a_summary_is_in_the_table_of_symbols(path):
    number = path.stem.split("_")[0]
    known = {sign for row in SYMBOLS if number in linked(row.meaning) for sign in signs(row.signs)}
    missing = [sign for sign in new_symbols(path) if sign not in known]
    assert not missing, (
        f"add to glossary.md, Symbols, with [{number}]({path.stem}.ipynb#Summary): {', '.join(missing)}"
    )


def test_every_term_of_the_article_is_in():
    absent = [f"{name} ({chinese})" for chinese, name in ARTICLE.items() if name not in NAMES]
    assert not absent, f"add to glossary.md: {', '.join(absent)}"
    unnamed = [
        f"{name}: {chinese}" for chinese, name in ARTICLE.items() if chinese not in NAMES[name].chinese
    ]
    assert not unnamed, f"these rows lack the article's word: {', '.join(unnamed)}"


@pytest.mark.parametrize("number", BELONGS)
def test_what_belongs_to_a_chapter_links_to_it_once_it_is_built(number):
    if number not in existing():
        pytest.skip(f"chapter {number} is not built yet; its terms will be {', '.join(BELONGS[number])}")
    missing = [
        name for name in BELONGS[number] if name not in NAMES or number not in linked(NAMES[name].links)
    ]
    assert not missing, f"chapter {number} is there: link these to it in glossary.md: {', '.join(missing)}"
