"""The numbers in a notebook's prose, and what each of them rests on.

Prose is what a reader takes for a sentence: Markdown, alternative texts, the templates of `course.answer`; code is
none. A number in it is supported if it names something (a chapter, a section, a row, a model, a year), stands in
the code of the cells around it, is the value of a parameter that its cell names, or stands in a checked output
around it. 0, 1 and 100 % are the ends of scales, and 95 % is the level of the course's intervals.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from nbformat import NotebookNode

from capkit.course import CHAPTERS

#: code cells before and after a text that its reader has in mind
NEAR = 5
NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+(?!\w|,\d)|\d+(?:\.\d+)?(?!\w|\.\d))")
DOCUMENT = {
    *("1", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "2.3", "3", "3.1", "3.2", "3.3", "3.4", "3.5"),
    *("4", "4.1", "4.2", "4.3", "5", "5.1", "5.2", "5.3", "5.4"),
}
MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
#: code, addresses, and numbers that count or name what follows them
NO_PROSE = re.compile(
    r"^```.*?^```|`[^`]*`|\]\([^)]*\)|\*\*Minutes:?\*\*:? *\d+|^#+ \d+ |^ *\d+\. |"
    r"\*\*(?:Models? )?\d\w?(?: to \d)?(?= |\*|:)|^#+ Models? \d\w?(?: and \d)?|"
    r"\*(?:Experiment|Correction) \d",
    re.DOTALL | re.MULTILINE,
)
NAMES = re.compile(
    r"\b[MGD]/[MGD]/\d|\bN\+\d|\b[A-Z]\w+-\d+|\bKeras \d|\bAR(?:IMA)?(?:\([\d,]+\))+\d*"
    rf"|\b\d{{1,2}} (?:{MONTH})\b"
    r"|(?<![\d.,])(?:19|20)\d\d(?![\w.,]\d| ?(?:%|ms|s|requests|images|USD)\b)"
)
LIST = r"\d+(?:\.\d)?\w?(?:(?:, | and | to | or | 与 |、| 至 )\d+(?:\.\d)?\w?)*"
REFERENCES = {
    "chapter": re.compile(
        rf"\b[Cc]hapters?\s({LIST})|\*\*(\d\d) [A-Z]|第 ?({LIST}) ?章|\| *([01]\d(?:, [01]\d)*) *(?=\|)"
    ),
    "section": re.compile(
        rf"(?:\b[Ss]ections?\s|\bdocument(?:'s)?\s|listing of |文档 ?|原文 ?|第 ?)({LIST})|\((?:document )?(\d\.\d)(?: 节)?\)"
    ),
    "label": re.compile(rf"\b(?:[Rr]ows?|[Mm]odels?)\s({LIST})|\*(\d\w?)(?= [^*]*\*|\*)"),
    "interval": re.compile(
        r"(95)(?= % (?:interval|of the drawn|of the values))|(?<=\()(95)(?= %[:)])"
    ),
}


@dataclass(frozen=True)
class Stated:
    """A number in prose: its cell, how it is printed, the words around it, what supports it (empty: nothing)."""

    cell: int
    number: str
    words: str
    support: str


def value(text: str) -> float:
    """The number that a text like ``1,024`` or ``0.50`` prints."""
    return float(text.replace(",", ""))


class Prose:
    """A notebook as its reader sees it.

    Parameters
    ----------
    notebook : NotebookNode
        With outputs, and with parameters in cells tagged ``parameters`` and ``injected-parameters``.
    accepted : iterable of str
        Phrases whose numbers are vouched for elsewhere.
    """

    def __init__(self, notebook: NotebookNode, accepted: Iterable[str] = ()) -> None:
        self.cells = notebook.cells
        self.code = [n for n, cell in enumerate(self.cells) if cell.cell_type == "code"]
        self.accepted = [
            re.compile(r"\s+".join(map(re.escape, phrase.split()))) for phrase in accepted
        ]

    def texts(self) -> Iterator[tuple[int, str]]:
        """Each text with the number of its cell."""
        for number, cell in enumerate(self.cells):
            if cell.cell_type == "markdown":
                yield number, cell.source
            else:
                yield from ((number, text) for text in parts(cell.source)[0])

    def stated(self) -> Iterator[Stated]:
        """Every number in prose."""
        for number, text in self.texts():
            vouched = [match.span() for phrase in self.accepted for match in phrase.finditer(text)]
            plain = text
            for pattern in (NO_PROSE, NAMES):
                plain = pattern.sub(lambda match: re.sub(r"\d", "_", match[0]), plain)
            named = self.references(plain)
            for match in NUMBER.finditer(plain):
                support = named.get(match.start()) or self.support(number, plain, match)
                if any(start <= match.start() < end for start, end in vouched):
                    support = "accepted"
                words = " ".join(text[max(0, match.start() - 50) : match.end() + 30].split())
                yield Stated(number, match[0], words, support)

    def unsupported(self) -> list[Stated]:
        """The numbers that nothing supports."""
        return [stated for stated in self.stated() if not stated.support]

    def references(self, text: str) -> dict[int, str]:
        """Numbers that name something which is there, by their place in the text."""
        known = {
            "chapter": {c[:2] for c in CHAPTERS},
            "section": DOCUMENT | self.sections,
            "label": self.labels,
            "interval": {"95"},
        }
        found = {}
        for kind, pattern in REFERENCES.items():
            for match in pattern.finditer(text):
                group = match.lastindex or 0
                for one in re.finditer(r"\d+(?:\.\d)?\w?", match[group]):
                    if one[0] in known[kind]:
                        found[match.start(group) + one.start()] = kind
        return found

    @cached_property
    def markdown(self) -> str:
        """All Markdown of the notebook."""
        return "\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")

    @cached_property
    def sections(self) -> set[str]:
        """Numbers of this notebook's own sections."""
        return set(re.findall(r"^## (\d+) ", self.markdown, flags=re.MULTILINE))

    @cached_property
    def labels(self) -> set[str]:
        """Numbers of models and rows: in bold, in a heading, first in a row, or before a name in code or output."""
        given = re.findall(
            rf"(?:\*\*|^#+ )(?:Models? )?({LIST})", self.markdown, flags=re.MULTILINE
        )
        found = {one for several in given for one in re.findall(r"\d+\w?", several)}
        for number in self.code:
            shown_here = shown(self.cells[number])
            found |= set(re.findall(r"^(\d+\w?)\b", shown_here, flags=re.MULTILINE))
            for text in (*parts(self.cells[number].source)[1], shown_here):
                found |= set(re.findall(r"\b(\d\w?) [A-Za-z]", text))
        return found

    @cached_property
    def parameters(self) -> dict[str, set[float]]:
        """Of each parameter that is a number: its value, and what the notebook's code compares it with."""
        found: dict[str, set[float]] = {}
        for cell in self.cells:
            if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])):
                for name, node in assignments(cell.source):
                    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                        found[name] = {float(node.value)}
        for number in self.code:
            for node in ast.walk(ast.parse(self.cells[number].source)):
                if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name):
                    bounds = [c.value for c in node.comparators if isinstance(c, ast.Constant)]
                    if node.left.id in found:
                        found[node.left.id] |= {float(b) for b in bounds}
        return found

    def near(self, number: int) -> list[int]:
        """The code cells around a cell, itself included."""
        before = [n for n in self.code if n < number][-NEAR:]
        return [*before, *[n for n in self.code if n >= number][:NEAR]]

    def support(self, number: int, text: str, match: re.Match[str]) -> str:
        """What makes the number in the text of a cell true: a scale, a parameter, code, an output, or nothing."""
        meant, rest = value(match[0]), text[match.end() :]
        places = len(match[0].partition(".")[2])
        per_cent = re.match(r"\s*(?:%|per cent)", rest) is not None
        if meant in (0.0, 1.0) or (meant == 100 and per_cent):
            return "scale"
        wanted = {meant}
        if per_cent:
            wanted |= {meant / 100, 1 + meant / 100, 1 - meant / 100}
        if re.match(r"\s*m?s\b", rest):
            wanted |= {meant / 1e3, meant * 1e3}
        for name, values in self.parameters.items():
            if f"`{name}`" in self.cells[number].source and close(values, wanted):
                return "parameter"
        chinese = re.search(r"[\u4e00-\u9fff]", text[max(0, match.start() - 20) : match.end() + 20])
        for at in self.code if chinese else self.near(number):
            _, texts, numbers = parts(self.cells[at].source)
            numbers = {
                *numbers,
                *(float(x) for t in texts for x in re.findall(r"\d+(?:\.\d+)?", t)),
            }
            if close(numbers | ({round(x, places) for x in numbers} if places else set()), wanted):
                return "code"
        if len(re.sub(r"\D", "", match[0])) > 1:  # rows are counted by one digit
            for at in self.near(number):
                if "nbval-check-output" in self.cells[at].metadata.get("tags", []):
                    printed = NUMBER.findall(shown(self.cells[at]))
                    exact = [x for x in printed if len(x.partition(".")[2]) >= places]
                    if close({round(value(x), places) for x in exact}, {meant}):
                        return "output"
        return ""


def close(numbers: Iterable[float], wanted: set[float]) -> bool:
    """Whether one of the numbers is, but for rounding in the last digit of a float, one that is wanted."""
    return any(abs(abs(x) - w) <= 1e-9 * max(1.0, w) for x in numbers for w in wanted)


def assignments(source: str) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of a cell's plain assignments."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value


@cache
def parts(source: str) -> tuple[list[str], list[str], set[float]]:
    """A code cell's prose, its other texts, its numbers."""
    tree = ast.parse(source)
    told: list[ast.expr] = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        told += call.args[:1] if getattr(call.func, "attr", "") == "answer" else []
        told += [keyword.value for keyword in call.keywords if keyword.arg == "alt"]
    said = [n for part in told for n in ast.walk(part) if isinstance(n, ast.Constant)]
    left = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in said]
    prose = [re.sub(r"\{[^}]*\}", " ", n.value) for n in said if isinstance(n.value, str)]
    texts = [n.value for n in left if isinstance(n.value, str)]
    return prose, texts, {float(n.value) for n in left if type(n.value) in (int, float)}


def shown(cell: NotebookNode) -> str:
    """A code cell's outputs as text."""
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )
