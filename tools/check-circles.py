#!/usr/bin/env python3
"""No circle of files: within a crate, no file needs another one that needs it back, however indirectly.

A file needs the file that *defines* what it names: `use` declarations and paths in code are followed through re-exports
(`pub use`) and up and down the module tree (`crate::`, `super::`, `self::`, a child module's name). A `mod` declaration and
a re-export that the file itself does not use are no need: a folder's `mod.rs` may present what is in the folder. Code under
`#[cfg(test)]` counts as any other. Names that a macro makes are not seen.

    tools/check-circles.py            checks every crate of the workspace
    tools/check-circles.py --suggest  prints a short list of imports without which there would be no circle
    tools/check-circles.py --test     checks itself, on small crates that it makes
"""

import contextlib
import io
import re
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

WORD = r"(?:r#)?[A-Za-z_]\w*"
# What is no code: comments, texts, characters (a lifetime is no character). Nested block comments are not used here.
NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\])'""", re.S
)
USE = re.compile(rf"\b(pub(?:\s*\([^)]*\))?\s+)?use\s+([^;]+);")
MOD = re.compile(rf"\bmod\s+({WORD})\s*([;{{])")
PATH = re.compile(rf"(?<![\w:])({WORD}(?:\s*::\s*{WORD})+)")
ITEM = re.compile(
    rf"\b(?:struct|enum|union|trait|type|fn|const|static|macro_rules!)\s+(?:mut\s+)?({WORD})"
)


@dataclass
class Module:
    """A module, in a file of its own or inline in its parent's."""

    path: tuple
    file: Path
    children: dict = field(default_factory=dict)
    # Name -> (path as written, whether it is a re-export).
    uses: dict = field(default_factory=dict)
    globs: list = field(default_factory=list)
    items: set = field(default_factory=set)
    body: str = ""


def imports(text):
    """The (path, name) pairs of what stands between `use` and its semicolon; the name of a glob is `*`."""
    text = " ".join(text.split())
    brace = text.find("{")
    if brace < 0:
        path, _, alias = text.partition(" as ")
        parts = [part.strip() for part in path.split("::") if part.strip()]
        if parts and parts[-1] == "self":
            parts.pop()
        if parts:
            yield parts, (alias.strip() or parts[-1])
        return
    head, inner, depth, start = text[:brace], text[brace + 1 : text.rfind("}")], 0, 0
    for place, letter in enumerate(inner + ","):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            if inner[start:place].strip():
                yield from imports(head + inner[start:place].strip())
            start = place + 1


def closing(text, opening):
    """Where the brace that opens at `opening` closes."""
    depth = 0
    for place in range(opening, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return len(text) - 1


class Crate:
    def __init__(self, root):
        self.modules, self.files = {}, set()
        for entry in ("src/lib.rs", "src/main.rs"):
            if (root / entry).is_file():
                # A program beside its library names it as another crate: the two trees share no file.
                self.read(root / entry, (entry,), root / "src")

    def read(self, file, path, folder):
        self.files.add(file)
        text = NO_CODE.sub(lambda found: " " * len(found.group()), file.read_text())
        self.module(file, path, folder, text)

    def module(self, file, path, folder, text):
        module = self.modules[path] = Module(path, file)
        inline = []
        for found in MOD.finditer(text):
            if any(start <= found.start() <= end for _, start, end in inline):
                continue
            name = found.group(1).removeprefix("r#")
            module.children[name] = path + (name,)
            if found.group(2) == ";":
                for child in (folder / f"{name}.rs", folder / name / "mod.rs"):
                    if child.is_file():
                        self.read(child, path + (name,), folder / name)
            else:
                end = closing(text, found.end() - 1)
                inline.append((name, found.start(), end))
        for name, start, end in inline:
            opening = text.index("{", start)
            self.module(file, path + (name,), folder / name, text[opening + 1 : end])
            text = text[:start] + " " * (end + 1 - start) + text[end + 1 :]
        for found in USE.finditer(text):
            for parts, name in imports(found.group(2)):
                if name == "*":
                    module.globs.append(parts[:-1])
                else:
                    module.uses[name] = (parts, bool(found.group(1)))
        module.body = USE.sub(lambda found: " " * len(found.group()), text)
        module.items = set(ITEM.findall(module.body))

    def resolve(self, module, parts, seen=frozenset()):
        """The module that defines what a path names; None if it is of another crate."""
        at, rest = module, list(parts)
        if rest[0] == "crate":
            at, rest = self.modules[module.path[:1]], rest[1:]
        elif rest[0] in ("self", "super"):
            while rest and rest[0] in ("self", "super"):
                if rest.pop(0) == "super":
                    at = self.modules[at.path[:-1]]
        elif rest[0] not in at.children and rest[0] not in at.uses:
            return self.through_globs(at, rest[0], seen) if at.globs else None
        while rest:
            name = rest[0]
            if at.children.get(name) in self.modules:
                at, rest = self.modules[at.children[name]], rest[1:]
            elif name in at.uses and (at.path, name) not in seen:
                seen = seen | {(at.path, name)}
                if at.uses[name][0] == [name]:
                    return None
                found = self.resolve(at, at.uses[name][0] + rest[1:], seen)
                return found
            elif name in at.items:
                return at
            else:
                return self.through_globs(at, name, seen) or at
        return at

    def through_globs(self, at, name, seen):
        for parts in at.globs:
            if (at.path, tuple(parts)) in seen:
                continue
            target = self.resolve(at, parts, seen | {(at.path, tuple(parts))})
            if target and (name in target.items or name in target.uses or name in target.children):
                return self.resolve(target, ["self", name], seen | {(at.path, tuple(parts))})
        return None

    def needs(self):
        """(file, file it needs) -> one of the names for which it does."""
        found = {}
        for module in self.modules.values():
            words = set(re.findall(WORD, MOD.sub("", module.body)))
            named = [parts for name, (parts, again) in module.uses.items() if not again or name in words]
            named += module.globs
            named += [re.split(r"\s*::\s*", path) for path in PATH.findall(module.body)]
            for parts in named:
                if not parts:
                    continue
                target = self.resolve(module, parts)
                if target and target.file != module.file:
                    found.setdefault((module.file, target.file), "::".join(parts))
        return found


def components(edges):
    """Strongly connected components (Tarjan), those of one file left out."""
    after, order, low, stack, found = {}, {}, {}, [], []
    for start, end in sorted(edges):
        after.setdefault(start, []).append(end)

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in after.get(node, []):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(after):
        if node not in order:
            visit(node)
    return found


def circle(edges, group):
    """The shortest circle through the first file of a component."""
    within = [(start, end) for start, end in sorted(edges) if start in group and end in group]
    ways = [[group[0]]]
    while ways:
        way = ways.pop(0)
        for start, end in within:
            if start == way[-1]:
                if end == group[0]:
                    return way + [end]
                if end not in way:
                    ways.append(way + [end])
    return group


def suggestion(edges):
    """A small set of imports without which there is no circle: again and again the one that most circles share."""
    edges, removed = set(edges), []
    while groups := components(edges):
        within = [edge for edge in sorted(edges) if any(edge[0] in group and edge[1] in group for group in groups)]
        left = lambda edge: sum(len(group) for group in components(edges - {edge}))
        edge = min(within, key=lambda edge: (left(edge), edge))
        edges.discard(edge)
        removed.append(edge)
    # What was removed early may not be needed any more.
    for edge in sorted(removed):
        if not components(edges | {edge}):
            edges.add(edge)
            removed.remove(edge)
    return removed


def crates(root):
    """Each member of the workspace with its files, and what they need of each other."""
    for member in tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"]:
        crate = Crate(root / member)
        name = lambda file: str(file.relative_to(root))
        yield member, crate.files, {(name(a), name(b)): why for (a, b), why in crate.needs().items()}


def suggest(root):
    for _, _, needs in crates(root):
        for a, b in sorted(suggestion(needs)):
            print(f"{a} -> {b}")


def check(root):
    failed, files = False, 0
    for member, its_files, needs in crates(root):
        files += len(its_files)
        edges = set(needs)
        for group in components(edges):
            failed = True
            way = circle(edges, group)
            print(f"circles: {len(group)} files of {member} need each other, for example:")
            for a, b in zip(way, way[1:]):
                print(f"  {a} -> {b}   ({needs[a, b]})")
    if not failed:
        print(f"circles: {files} files, no circle")
    return failed


def test():
    """What is found in small crates, and what is not: (files, whether it passes)."""
    use_each_other = {"lib.rs": "mod a; mod b;", "a.rs": "use crate::b::B; pub struct A;", "b.rs": "use super::a::A; pub struct B;"}
    cases = {
        "one way": ({"lib.rs": "mod a; mod b;", "a.rs": "use crate::b::B;", "b.rs": "pub struct B;"}, True),
        "two files": (use_each_other, False),
        "paths in code": ({"lib.rs": "mod a; mod b;", "a.rs": "fn a() { crate::b::b() }", "b.rs": "fn b() { super::a::a() }"}, False),
        "three files, in braces": (
            {
                "lib.rs": "mod a; mod b; mod c;",
                "a.rs": "use crate::{b::{self, B}, x};",
                "b.rs": "use crate::c;",
                "c.rs": "use crate::{a as first};",
            },
            False,
        ),
        "through a re-export": (
            {"lib.rs": "mod a; mod b; pub use b::B;", "a.rs": "use crate::B; pub struct A;", "b.rs": "use crate::a::A; pub struct B;"},
            False,
        ),
        "a folder that presents": ({"lib.rs": "mod f;", "f/mod.rs": "mod a; pub use a::A;", "f/a.rs": "use super::A;"}, True),
        "a folder that presents by the same name": (
            {"lib.rs": "mod f;", "f/mod.rs": "mod a; pub use a::a; pub struct F;", "f/a.rs": "use super::F; pub fn a() {}"},
            True,
        ),
        "a folder that uses": (
            {"lib.rs": "mod f;", "f/mod.rs": "mod a; use a::A; pub struct F(A);", "f/a.rs": "use super::F; pub struct A;"},
            False,
        ),
        "a re-export that is used": (
            {"lib.rs": "mod f;", "f/mod.rs": "mod a; pub use a::A; pub struct F(A);", "f/a.rs": "use super::F; pub struct A;"},
            False,
        ),
        "through a glob": (
            {"lib.rs": "mod a; mod b; pub use b::*;", "a.rs": "use crate::B; pub struct A;", "b.rs": "use crate::a::A; pub struct B;"},
            False,
        ),
        "comments and texts": (
            {"lib.rs": "mod a; mod b;", "a.rs": "// use crate::b::B;\nconst A: &str = \"use crate::b::B;\";", "b.rs": "use crate::a::A;"},
            True,
        ),
        "an inline module": (
            {"lib.rs": "mod a; mod b;", "a.rs": "mod tests { use super::super::b::B; }", "b.rs": "use crate::a::A;"},
            False,
        ),
        "another crate of the name": ({"lib.rs": "mod a; mod b;", "a.rs": "use b::B;", "b.rs": "use crate::a::A;"}, True),
    }
    for case, (files, passes) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "Cargo.toml").write_text('[workspace]\nmembers = ["one"]\n')
            for name, text in files.items():
                (root / "one/src" / name).parent.mkdir(parents=True, exist_ok=True)
                (root / "one/src" / name).write_text(text)
            with contextlib.redirect_stdout(io.StringIO()) as said:
                failed = check(root)
            assert failed != passes, f"{case}:\n{said.getvalue()}"
    print(f"circles: {len(cases)} cases of the check itself are right")


if __name__ == "__main__":
    here = Path(__file__).resolve().parent.parent
    match sys.argv[1:]:
        case []:
            sys.exit(check(here))
        case ["--suggest"]:
            suggest(here)
        case ["--test"]:
            test()
        case _:
            sys.exit(__doc__)
