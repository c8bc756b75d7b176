"""A `Scanner` splits a filter into tokens.

It follows containerd ``pkg/filters/scanner.go``. The scanner has one bit of state: after an operator, a
word is a value, which may contain dots and dashes, until a value or a separator has been read. Positions
count characters; containerd's count bytes.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

QUOTES = frozenset('/|"')
_SEPARATORS = frozenset(",.")
_OPERATORS = frozenset("=!~")
_FIELD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_OCTAL, _HEX = frozenset("01234567"), frozenset("0123456789abcdefABCDEF")
_ESCAPED = frozenset("abfnrtv\\")
_DIGITS_AFTER = {"x": 2, "u": 4, "U": 8}
# Unicode's White_Space, as in Go's unicode.IsSpace. Python's str.isspace accepts four more characters.
_SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)
}


class TokenKind(Enum):
    """A `TokenKind` is the kind of a token; OTHER is a character that cannot begin a token."""

    END = auto()
    FIELD = auto()
    VALUE = auto()
    QUOTED = auto()
    SEPARATOR = auto()
    OPERATOR = auto()
    ILLEGAL = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A `Token` has a kind, a start position and a text; the text of a quoted token includes its quotes."""

    kind: TokenKind
    start: int
    text: str = ""


class Scanner:
    """A `Scanner` returns the tokens of *text*, one per call of ``scan``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._after_operator = False
        self.position = 0
        """The position after the last token."""
        self.error = ""
        """The first error, in containerd's words; empty if there is none."""

    def peek(self) -> str | None:
        """Return the next character, even a space; None at the end, U+FFFD for an illegal character."""
        return self._character(self.position)

    def scan(self) -> Token:
        """Skip spaces and return the next token."""
        start = self.position
        while (character := self._character(start)) is not None and character in _SPACES:
            start += 1
        self.position = start
        if character is None:
            return Token(TokenKind.END, start)
        self.position += 1
        if character == "\ufffd":
            return Token(TokenKind.ILLEGAL, start)
        if character in QUOTES:
            kind = TokenKind.QUOTED if self._pass_quoted(character) else TokenKind.ILLEGAL
        elif character in _SEPARATORS:
            self._after_operator = False
            kind = TokenKind.SEPARATOR
        elif character in _OPERATORS:
            self._pass_all(_OPERATORS.__contains__)
            self._after_operator = True
            kind = TokenKind.OPERATOR
        elif self._after_operator:
            self._pass_all(_is_of_value)
            self._after_operator = False
            kind = TokenKind.VALUE
        elif character in _FIELD:
            self._pass_all(_FIELD.__contains__)
            kind = TokenKind.FIELD
        else:
            kind = TokenKind.OTHER
        return Token(kind, start, self._text[start : self.position])

    def _character(self, position: int) -> str | None:
        if position >= len(self._text):
            return None
        character = self._text[position]
        if character == "\0":
            self._illegal("unexpected null")
            return "\ufffd"
        if character == "\ufffd":
            # Go decodes bytes that are not UTF-8 to this character, and treats the character itself alike.
            self._illegal("rune error")
        return character

    def _next(self) -> str | None:
        character = self._character(self.position)
        if character is not None:
            self.position += 1
        return character

    def _pass_all(self, belongs: Callable[[str], bool]) -> None:
        while (character := self.peek()) is not None and belongs(character):
            self.position += 1

    def _pass_quoted(self, quote: str) -> bool:
        """Skip the rest of a quoted text; return whether it is legal."""
        while (character := self._next()) != quote:
            if character in (None, "\n", "\ufffd"):
                self._illegal("quoted literal not terminated")
                return False
            if character == "\\" and not self._pass_escape(quote):
                return False
        return True

    def _pass_escape(self, quote: str) -> bool:
        letter = self._next()
        if letter is not None and (letter in _ESCAPED or letter == quote):
            return True
        if letter is not None and letter in _OCTAL:
            return self._pass_digits(_OCTAL, 2)
        if letter in _DIGITS_AFTER:
            return self._pass_digits(_HEX, _DIGITS_AFTER[letter])
        self._illegal("illegal escape sequence")
        return False

    def _pass_digits(self, digits: frozenset[str], count: int) -> bool:
        for _ in range(count):
            digit = self._next()
            if digit is None or digit not in digits:
                self._illegal("illegal numeric escape sequence")
                return False
        return True

    def _illegal(self, what: str) -> None:
        self.error = self.error or what


def _is_of_value(character: str) -> bool:
    return (
        character != ","
        and character not in _SPACES
        and character != "\ufffd"
        and unicodedata.category(character)[0] in "LMNPS"
    )
