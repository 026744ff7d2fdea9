"""What a name may hold where a call stands: the assignments in a function's source that reach it."""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
Block = list[ast.stmt]
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@dataclasses.dataclass(frozen=True)
class Place:
    """A statement by the blocks around it, outermost first, each with the statement's index in it."""

    path: tuple[tuple[Block, int], ...]

    def values(self, name: str) -> list[tuple[ast.expr, "Place"]]:
        """The values that ``name`` may hold before the statement, in the order of the source."""
        found: list[tuple[ast.expr, Place]] = []
        for depth in range(len(self.path), 0, -1):
            around, (block, index) = self.path[: depth - 1], self.path[depth - 1]
            values, certain = _of_block(name, block[:index], around)
            found = values + found
            if certain:
                break
        return found


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, Place]]:
    """Every call of a module, with the place of its statement."""
    yield from _calls(tree.body, ())


def _calls(block: Block, around: tuple[tuple[Block, int], ...]) -> Iterator[tuple[ast.Call, Place]]:
    for index, statement in enumerate(block):
        path = (*around, (block, index))
        inner = _blocks(statement)
        nested = {id(node) for body in inner for one in body for node in ast.walk(one)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and id(node) not in nested:
                yield node, Place(path)
        for body in inner:
            yield from _calls(body, path)


def _blocks(statement: ast.stmt) -> list[Block]:
    blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    blocks += [handler.body for handler in getattr(statement, "handlers", [])]
    blocks += [case.body for case in getattr(statement, "cases", [])]
    return [block for block in blocks if block]


def _of_block(
    name: str, block: Block, around: tuple[tuple[Block, int], ...]
) -> tuple[list[tuple[ast.expr, Place]], bool]:
    """The values at the end of a block, and whether none from before it reaches there."""
    found: list[tuple[ast.expr, Place]] = []
    for index in range(len(block) - 1, -1, -1):
        values, certain = _of_statement(name, block[index], (*around, (block, index)))
        found = values + found
        if certain:
            return found, True
    return found, False


def _of_statement(
    name: str, statement: ast.stmt, path: tuple[tuple[Block, int], ...]
) -> tuple[list[tuple[ast.expr, Place]], bool]:
    if isinstance(statement, ast.Assign):
        values = [
            value for target in statement.targets for one, value in _pairs(target, statement.value) if one == name
        ]
        return [(value, Place(path)) for value in values], bool(values)
    if isinstance(statement, ast.ImportFrom):
        values = _of_import(name, statement)
        return values, bool(values)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [], False
    ends = [_of_block(name, body, path) for body in _blocks(statement) if not isinstance(body[-1], _LEAVES)]
    found = [one for values, _ in ends for one in values]
    whole = isinstance(statement, ast.With) or (isinstance(statement, ast.If) and bool(statement.orelse))
    return found, whole and all(certain for _, certain in ends)


def _of_import(name: str, statement: ast.ImportFrom) -> list[tuple[ast.expr, Place]]:
    """The values of a constant imported from a module here; a float is left out, since messages format it."""
    path = ROOT / f"{(statement.module or '').replace('.', '/')}.py"
    found = [alias.name for alias in statement.names if name == (alias.asname or alias.name)]
    if not found or not path.is_file():
        return []
    body = ast.parse(path.read_text()).body
    values = Place(((body, len(body)),)).values(found[0])
    return [one for one in values if not isinstance(getattr(one[0], "value", None), float)]


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, given in zip(target.elts, value.elts, strict=False):
            yield from _pairs(one, given)
