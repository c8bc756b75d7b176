"""`parse_filters` parses the text of filters.

The grammar is that of containerd ``pkg/filters/parser.go``::

    filter    := [ selector *( "," selector ) ]         all selectors must match; an empty filter matches all
    selector  := path [ operator value ]                without an operator: the field exists
    path      := field *( "." field )
    field     := 1*( letter / digit / "_" ) / double-quoted
    operator  := "==" / "!=" / "~="
    value     := word / double-quoted                   after "~=" quotes may also be "/" or "|"

The error texts are containerd's, with the place in the filter.
"""

from thinsim.snapshotter.errors import InvalidArgumentError
from thinsim.snapshotter.filters.quoting import unquoted
from thinsim.snapshotter.filters.selectors import Filter, Operator, Selector
from thinsim.snapshotter.filters.tokens import Scanner, Token, TokenKind

_OPERATORS = {str(operator): operator for operator in Operator if operator is not Operator.PRESENT}


def parse_filters(*texts: str) -> Filter:
    """Return a filter that matches if any of *texts* matches; without texts it matches everything.

    Raise InvalidArgumentError for the first text that is not a filter.
    """
    if not texts:
        return Filter(((),))
    return Filter(tuple(_Parser(text).selectors() if text else () for text in texts))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._scanner = Scanner(text)

    def selectors(self) -> tuple[Selector, ...]:
        found = [self._selector()]
        while (following := self._scanner.peek()) is not None:
            if following != ",":
                raise self._error(self._scanner.position, f"unexpected input: {following}")
            self._scanner.scan()
            found.append(self._selector())
        return tuple(found)

    def _selector(self) -> Selector:
        path = self._path()
        if self._scanner.peek() in (",", None):
            return Selector(path)
        operator = self._operator()
        return Selector(path, operator, self._value(for_pattern=operator is Operator.MATCHES))

    def _path(self) -> tuple[str, ...]:
        fields = [self._field()]
        while self._scanner.peek() == ".":
            self._scanner.scan()
            fields.append(self._field())
        return tuple(fields)

    def _field(self) -> str:
        token = self._scanner.scan()
        match token.kind:
            case TokenKind.FIELD:
                return token.text
            case TokenKind.QUOTED:
                return self._unquoted(token, for_pattern=False)
        raise self._unexpected(token, "expected field or quoted")

    def _operator(self) -> Operator:
        token = self._scanner.scan()
        if token.kind is not TokenKind.OPERATOR:
            raise self._unexpected(token, 'expected an operator ("=="|"!="|"~=")')
        if token.text not in _OPERATORS:
            raise self._error(token.start, f'unsupported operator "{token.text}"')
        return _OPERATORS[token.text]

    def _value(self, *, for_pattern: bool) -> str:
        token = self._scanner.scan()
        match token.kind:
            case TokenKind.VALUE:
                return token.text
            case TokenKind.QUOTED:
                return self._unquoted(token, for_pattern=for_pattern)
        raise self._unexpected(token, "expected value or quoted")

    def _unquoted(self, token: Token, *, for_pattern: bool) -> str:
        if token.text[0] != '"' and not for_pattern:
            raise self._error(token.start, "invalid quote encountered")
        try:
            return unquoted(token.text)
        except ValueError as error:
            raise self._error(token.start, f"unquoting failed: {error}") from None

    def _unexpected(self, token: Token, text: str) -> InvalidArgumentError:
        return self._error(token.start, self._scanner.error if token.kind is TokenKind.ILLEGAL else text)

    def _error(self, place: int, text: str) -> InvalidArgumentError:
        before, here, after = self._text[:place], self._text[place : place + 1], self._text[place + 1 :]
        where = f"{before} >|{here}|< {after}" if here else before
        return InvalidArgumentError(f"filters: parse error: [{where}]: {text}")
