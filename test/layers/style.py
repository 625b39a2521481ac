#!/usr/bin/env python3
"""Checks rules of the source tree that no compiler checks.

    style.py [ROOT]     prints each violation as PATH:LINE: RULE; exits with 1 if there is one

The rules stand in CONTRIBUTING.md; the function of each is its statement here.
"""

import os
import re
import sys

LIBRARIES = ("dialects", "passes", "compiler", "runtime", "frontend", "models")
SOURCE_SUFFIXES = (".cpp", ".h", ".inc", ".td", ".cu")
TEXT_SUFFIXES = SOURCE_SUFFIXES + (".md", ".py", ".sh", ".toml", ".cmake", ".txt", ".mlir", ".test", ".json", ".fbs", ".in")
GENERATED = ("docs/generated", "test/golden")
FILE_LINES, MAIN_LINES = 1000, 60


def project_files(root):
    """Paths below root, relative and sorted; without build folders and what hidden folders hold."""
    for folder, subfolders, names in os.walk(root):
        relative = os.path.relpath(folder, root)
        top = relative == "."
        subfolders[:] = sorted(
            s for s in subfolders
            if not s.startswith(".") and s != "__pycache__" and not (top and (s.startswith("build") or s == "outputs"))
        )
        for name in sorted(names):
            yield os.path.normpath(os.path.join(relative, name))


def without_comments(text):
    """C++ text with comments and string literals blanked, lines kept."""
    raw, string, character = r'R"(\w*)\(.*?\)\1"', r'"(?:\\.|[^"\\\n])*"', r"'(?:\\.|[^'\\\n])'"
    pattern = rf"{raw}|{string}|{character}|//[^\n]*|/\*.*?\*/"
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


class Tree:
    """The project's files and the violations found in them."""

    def __init__(self, root):
        self.root = root
        self.paths = [p for p in project_files(root) if p.endswith(TEXT_SUFFIXES)]
        self.texts = {}
        for path in self.paths:
            with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
                self.texts[path] = file.read()
        self.violations = []

    def report(self, path, line, rule):
        self.violations.append(f"{path}:{line}: {rule}")

    def match(self, path, pattern, rule, code_only=True):
        """Reports every line of a file where the pattern matches."""
        text = without_comments(self.texts[path]) if code_only else self.texts[path]
        for number, line in enumerate(text.split("\n"), 1):
            if re.search(pattern, line):
                self.report(path, number, rule)

    def sources(self, folders=None):
        for path in self.paths:
            if path.endswith(SOURCE_SUFFIXES) and (folders is None or path.split(os.sep)[0] in folders):
                yield path


def libraries_return_errors(tree):
    """A library returns an error; it never ends the process and never prints one."""
    forbidden = {
        r"(?<![\w.>:])(?:::|std::)?_?(?:quick_)?exit\s*\(": "a library does not exit; return an error",
        # Without arguments: a communicator's own abort(reason) is another matter.
        r"(?<![\w.>:])(?:::|std::)?abort\s*\(\s*\)": "a library does not abort; return an error",
        r"\bstd::cerr\b|\bllvm::errs\s*\(": "a library does not print; return an error or emit a diagnostic",
        r"\breport_fatal_error\b": "a library does not end the process; return an error",
    }
    for path in tree.sources(LIBRARIES):
        for pattern, rule in forbidden.items():
            tree.match(path, pattern, rule)


def options_in_one_file(tree):
    """Command-line options are structs passed in; LLVM's global options stand in one file at most."""
    users = [p for p in tree.sources() if re.search(r"\bcl::opt\b", without_comments(tree.texts[p]))]
    for path in users[1:]:
        tree.match(path, r"\bcl::opt\b", f"cl::opt is used in {users[0]} already, and belongs in one file")


def files_are_short(tree):
    """A source file has at most 1000 lines, a tool's main 60."""
    for path in tree.paths:
        if path.startswith(GENERATED) or path.endswith((".json", ".md")):
            continue
        is_main = re.fullmatch(r"tools/[^/]*\.cpp", path) is not None
        limit = MAIN_LINES if is_main else FILE_LINES
        lines = tree.texts[path].count("\n")
        if lines > limit:
            tree.report(path, limit + 1, f"{lines} lines; at most {limit} are allowed")


def no_foreign_paths(tree):
    """No file names a path that a clone does not have."""
    pattern = r"(?<![\w/.-])(?:\.\./)*shared[/]\w|/work[/]\w"
    for path in tree.paths:
        tree.match(path, pattern, "names a path outside the repository", code_only=False)


def passes_are_declared_and_tested(tree):
    """passes/**/X.cpp that defines a pass has `def X` in Passes.td and a lit test of its stem."""
    declarations = tree.texts.get("passes/Passes.td", "")
    tests = {
        re.sub(r"[-_]", "", os.path.splitext(os.path.basename(p))[0]).lower()
        for p in tree.paths
        if p.startswith("test/passes/") and p.endswith((".mlir", ".test"))
    }
    for path in tree.sources(("passes",)):
        if not path.endswith(".cpp") or "GEN_PASS_DEF_" not in tree.texts[path]:
            continue
        stem = os.path.splitext(os.path.basename(path))[0]
        if not re.search(rf"^def {stem}\b", declarations, flags=re.M):
            tree.report(path, 1, f"defines a pass, but passes/Passes.td has no 'def {stem}'")
        if stem.lower() not in tests:
            tree.report(path, 1, f"defines a pass, but test/passes has no .mlir test of the stem {stem}")


def packages_have_reasons(tree):
    """docs/dependencies.md names every package that tools/install-dependencies.sh installs."""
    script = tree.texts.get("tools/install-dependencies.sh", "")
    reasons = tree.texts.get("docs/dependencies.md", "")
    packages = re.search(r"<<'LIST'\n(.*?)\nLIST\n", script, flags=re.S)
    for line in packages.group(1).split("\n") if packages else ():
        package = line.split()[0]
        if f"`{package}`" not in reasons:
            tree.report("docs/dependencies.md", 1, f"gives no reason for the package `{package}`")


def links_resolve(tree):
    """A relative link of a document leads to a file."""
    for path in tree.paths:
        if not path.endswith(".md") or path.startswith(GENERATED):
            continue
        for number, line in enumerate(tree.texts[path].split("\n"), 1):
            for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                target = os.path.join(tree.root, os.path.dirname(path), link)
                if "://" not in link and not os.path.exists(target):
                    tree.report(path, number, f"links to {link}, which does not exist")


def main():
    tree = Tree(sys.argv[1] if len(sys.argv) > 1 else ".")
    if not list(tree.sources()):
        sys.exit(f"error: no source file in {tree.root}")
    for rule in (
        libraries_return_errors,
        options_in_one_file,
        files_are_short,
        no_foreign_paths,
        passes_are_declared_and_tested,
        packages_have_reasons,
        links_resolve,
    ):
        rule(tree)
    print("\n".join(tree.violations) or f"{len(tree.paths)} files follow the rules")
    sys.exit(1 if tree.violations else 0)


if __name__ == "__main__":
    main()
