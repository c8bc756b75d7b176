"""A passage is text for people in one place of a file: a docstring, a comment, a message, a paragraph."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

QUOTED = "words: quoted"
"""A comment with these words marks a line whose text is another program's."""

_SQL = re.compile(r"\b(SELECT|INSERT|CREATE TABLE|UPDATE|DELETE FROM)\b")
_ITALICS = re.compile(r"(?<![*\w])\*[^*\s][^*\n]*\*(?![*\w])")


@dataclass(frozen=True, slots=True)
class Passage:
    """A `Passage` begins at *line*, counted from 1."""

    line: int
    text: str


def passages_of(path: Path, *, messages: bool = True) -> Iterator[Passage]:
    """Yield each passage of the file *path*; with *messages*, the strings of a Python file as well."""
    source = path.read_text()
    match path.suffix:
        case ".py":
            yield from python_passages(source, messages=messages)
        case ".md":
            yield from markdown_passages(source)
        case ".c" | ".h":
            yield from c_passages(source)
        case _:
            yield from hash_comments(source)


def python_passages(source: str, *, messages: bool) -> Iterator[Passage]:
    """Yield docstrings, names of tests, comments and, with *messages*, strings of three words and more."""
    tree = ast.parse(source)
    quoted = {number for number, line in enumerate(source.splitlines(), 1) if QUOTED in line}
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))
            yield from _paragraphs(node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Passage(node.lineno, node.name.replace("_", " ").replace("test", "`test`", 1))
        elif isinstance(node, ast.JoinedStr):
            passed |= {id(value) for value in node.values}
    for node in ast.walk(tree) if messages else ():
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in passed:
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if _text(node).count(" ") > 1 and not _SQL.search(_text(node)) and quoted.isdisjoint(lines):
                yield from _paragraphs(node)
    comments = [
        (token.start[0], token.string.lstrip("#: "))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    yield from _joined(comments)


def _paragraphs(node: ast.Constant | ast.JoinedStr) -> Iterator[Passage]:
    text = _text(node)
    if text.startswith(" "):  # the end of a sentence that begins elsewhere
        text = f"`x`{text}"
    for paragraph in text.split("\n\n"):
        yield Passage(node.lineno, paragraph)


def _text(node: ast.expr) -> str:
    """Return a string's text, with a word of code for each value that is put into it."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) if isinstance(value, ast.Constant) else "`x`" for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def hash_comments(source: str) -> Iterator[Passage]:
    """Yield the comments of a file whose comments begin with ``#`` in a line of their own."""
    yield from _joined(
        [
            (number, line.strip().lstrip("# "))
            for number, line in enumerate(source.splitlines(), 1)
            if line.strip().startswith("#") and not line.startswith("#!")
        ]
    )


def _joined(comments: list[tuple[int, str]]) -> Iterator[Passage]:
    """Yield comments on lines one after the other as one passage."""
    begun, last, text = 0, -1, ""
    for number, comment in comments:
        if number == last + 1:
            text = f"{text} {comment}"
        else:
            if text:
                yield Passage(begun, text)
            begun, text = number, comment
        last = number
    if text:
        yield Passage(begun, text)


def c_passages(source: str) -> Iterator[Passage]:
    """Yield the comments of a C file, and its strings of three words and more."""
    for found in re.finditer(r"/\*(.*?)\*/|(?<!:)//([^\n]*)|\"((?:[^\"\\\n]|\\.)*)\"", source, re.DOTALL):
        comment = found.group(1) or found.group(2)
        text = re.sub(r"\n\s*\*", "\n", comment) if comment else found.group(3) or ""
        if comment or text.count(" ") > 1:
            yield Passage(source.count("\n", 0, found.start()) + 1, text)


def markdown_passages(source: str) -> Iterator[Passage]:
    """Yield paragraphs, items, headings and cells of tables.

    Text in fences is code, and text in italics is a quotation: the style page quotes faults so.
    """
    fenced, begun, text = False, 0, ""
    for number, line in enumerate([*_ITALICS.sub("`x`", source).splitlines(), ""], 1):
        fence = line.lstrip().startswith(("```", "~~~"))
        piece = re.match(r"\s*(?:[-*] |\d+\. |#+ |\|)", line)
        if text and (fence or piece or not line.strip()):
            yield Passage(begun, text)
            text = ""
        if fence:
            fenced = not fenced
        elif not fenced and line.lstrip().startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                if cell.strip():
                    yield Passage(number, cell.strip())
        elif not fenced and line.strip():
            begun = begun if text else number
            text = f"{text} {line[piece.end() :] if piece and not text else line}".strip()
