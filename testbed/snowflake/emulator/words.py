"""The small grammar of the statements that fakesnow does not know: names, and `KEY = value` options."""

from __future__ import annotations

import re
from typing import Any

_PART = r'(?:[A-Za-z_][A-Za-z0-9_$]*|"[^"]+")'
#: A name of up to three parts.
NAME = rf"{_PART}(?:\.{_PART}){{0,2}}"
#: A string of SQL.
STRING = r"'(?:[^']|'')*'"

_OPTION = re.compile(r"\s*([A-Za-z_]+)\s*=\s*")
_WORD = re.compile(rf"\s*({NAME}|[0-9]+)")


class SqlError(Exception):
    """A statement that Snowflake would refuse."""

    def __init__(self, message: str, code: str = "001003", state: str = "42000") -> None:
        super().__init__(message)
        self.code = code
        self.state = state


def syntax_error(near: str) -> SqlError:
    return SqlError(f"SQL compilation error:\nsyntax error unexpected '{near.strip()[:60]}'.")


def missing(kind: str, name: str) -> SqlError:
    message = f"SQL compilation error:\n{kind} '{name}' does not exist or not authorized."
    return SqlError(message, "002003", "02000")


def parts(name: str) -> list[str]:
    """The parts of a name, upper case unless quoted."""
    return [part[1:-1] if part.startswith('"') else part.upper() for part in re.findall(_PART, name)]


def full_name(name: str, database: str | None, schema: str | None) -> str:
    """A name of three parts. Raises SqlError where the session does not say the rest."""
    own = parts(name)
    default = [database, schema][: 3 - len(own)]
    if any(part is None for part in default):
        raise SqlError("Cannot perform operation. This session does not have a current database.", "090105", "22000")
    return ".".join([part.upper() for part in default if part] + own)


def text_of(literal: str) -> str:
    """The text of a string of SQL."""
    return literal[1:-1].replace("''", "'")


def options(text: str, known: set[str]) -> dict[str, Any]:
    """Reads `KEY = value …`; a value in parentheses is a list of strings, or options of its own. Raises SqlError."""
    found, at = _options(text, 0, known)
    if text[at:].strip():
        raise syntax_error(text[at:])
    return found


def _options(text: str, at: int, known: set[str]) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while match := _OPTION.match(text, at):
        key = match[1].upper()
        if key not in known:
            raise SqlError(f"SQL compilation error:\ninvalid parameter '{key}'.", "001008", "22023")
        found[key], at = _value(text, match.end(), known)
        comma = re.compile(r"\s*,").match(text, at)
        at = comma.end() if comma else at
    return found, at


def _value(text: str, at: int, known: set[str]) -> tuple[Any, int]:
    if match := re.compile(rf"\s*({STRING})").match(text, at):
        return text_of(match[1]), match.end()
    if match := re.compile(r"\s*\(").match(text, at):
        return _group(text, match.end(), known)
    if match := _WORD.match(text, at):
        return match[1], match.end()
    raise syntax_error(text[at:])


def _group(text: str, at: int, known: set[str]) -> tuple[Any, int]:
    if _OPTION.match(text, at):
        value, at = _options(text, at, known)
    else:
        value = []
        while item := re.compile(rf"\s*({STRING}|\()\s*,?").match(text, at):
            if item[1] == "(":
                inner, at = _group(text, item.start(1) + 1, known)
                value.append(inner)
            else:
                value.append(text_of(item[1]))
                at = item.end()
    if not (end := re.compile(r"\s*\)").match(text, at)):
        raise syntax_error(text[at:])
    return value, end.end()


def split(script: str) -> list[str]:
    """The statements of a text: `;` ends one, outside strings, names and comments. Comments are dropped."""
    statements, now = [], []
    tokens = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|\$\$.*?\$\$|;|[^;'\"$/-]+|.", re.DOTALL)
    for token in tokens.findall(script):
        if token == ";":
            statements.append("".join(now).strip())
            now = []
        elif not token.startswith(("--", "/*")):
            now.append(token)
    statements.append("".join(now).strip())
    return [statement for statement in statements if statement]
