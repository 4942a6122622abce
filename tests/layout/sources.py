"""The project's own source files and what they import, read without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_INSTALLED = frozenset((".venv", "node_modules"))  # bench has peers of its own


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, absolute: `from a.b import c` is `a.b.c`, for c may be a module."""

    name: str
    line: int
    top_level: bool  # runs when the module is imported

    def within(self, package: str) -> bool:
        """Whether it is that package or module, or something in it."""
        return self.name == package or self.name.startswith(f"{package}.")


@dataclass(frozen=True)
class Source:
    """A Python file of ours; `module` is its dotted name."""

    path: Path
    module: str
    tree: ast.Module

    def where(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"

    def imports(self) -> Iterator[Import]:
        """Every import, those inside functions too."""
        deferred = {id(node) for body in _deferred(self.tree) for node in ast.walk(body)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno, id(node) not in deferred) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from (Import(f"{base}.{alias.name}", node.lineno, id(node) not in deferred) for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".") if self.path.name == "__init__.py" else self.module.split(".")[:-1]
        kept = package[: len(package) - node.level + 1]
        return ".".join([*kept, node.module] if node.module else kept)


@cache
def sources(*tops: str) -> tuple[Source, ...]:
    """The Python files with those names, or below the folders with those names."""
    files = (file for top in tops for file in ((ROOT / top).rglob("*.py") if (ROOT / top).is_dir() else [ROOT / top]))
    return tuple(_source(path) for path in sorted(files) if path.is_file() and not _INSTALLED.intersection(path.parts))


def _source(path: Path) -> Source:
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(path, module, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def _deferred(tree: ast.Module) -> Iterator[ast.AST]:
    """What does not run at import: bodies of functions, and blocks for the type checker."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from node.body
