#!/usr/bin/env python3
"""Checks that sources include only what their layer may.

    includes.py [ROOT]     prints each violation as PATH:LINE: RULE; exits with 1 if there is one

MAY is the statement of the rule: a layer may include itself and those listed. Tests and tools may include
everything, except the tools that must run without the compiler.
"""

import os
import re
import sys

RUNTIME_BASE = ["runtime/base", "runtime/abi", "runtime/format"]
RUNTIME_MIDDLE = ["runtime/device", "runtime/collectives", "runtime/world"]
RUNTIME_UPPER = ["runtime/exec", "runtime/checkpoint", "runtime/data"]
# The compiler's layers read jobs, which runtime/base defines.
JOB = ["runtime/base"]

MAY = {
    "models": ["frontend", "dialects", "mlir"] + JOB,
    "frontend": ["dialects", "mlir"] + JOB,
    "compiler": ["passes", "dialects", "mlir"] + RUNTIME_BASE,
    "passes": ["dialects", "mlir"],
    "dialects": ["mlir"],
    "runtime/train": RUNTIME_UPPER + RUNTIME_MIDDLE + RUNTIME_BASE,
    **{layer: RUNTIME_MIDDLE + RUNTIME_BASE for layer in RUNTIME_UPPER},
    # NCCL puts its operations into the streams of a device.
    "runtime/device": ["runtime/collectives"] + RUNTIME_BASE,
    **{layer: RUNTIME_BASE for layer in ("runtime/collectives", "runtime/world")},
    "runtime/format": ["runtime/abi", "runtime/base"],
    "runtime/abi": [],
    "runtime/base": [],
    "tools/titan-run": ["runtime/train"] + RUNTIME_UPPER + RUNTIME_MIDDLE + RUNTIME_BASE,
    "tools/titan-data": RUNTIME_UPPER + RUNTIME_MIDDLE + RUNTIME_BASE,
}
TOPS = ("models", "frontend", "compiler", "passes", "dialects", "runtime", "tools", "test")
INCLUDE = re.compile(r"""^\s*#?\s*include\s*["<]([^">]+)[">]""")


def layer_of(path):
    """The layer of a source or of an included path; None for what has none (the standard library)."""
    parts = path.split("/")
    if parts[0] in ("mlir", "mlir-c", "llvm", "llvm-c", "lld", "clang"):
        return "mlir"
    if parts[0] == "runtime" and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] == "tools" and parts[-1].endswith(".cpp"):
        return path[: -len(".cpp")]
    return parts[0] if parts[0] in TOPS and len(parts) > 1 else None


def sources(root):
    for top in TOPS:
        if top == "test":
            continue
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".h", ".cpp", ".cu", ".td")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def violations(root):
    for path in sources(root):
        layer = layer_of(path)
        if layer not in MAY:
            if layer.startswith("runtime/"):
                yield path, 1, f"{layer} has no place in the order of layers"
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                match = INCLUDE.match(line)
                target = layer_of(match.group(1)) if match else None
                if target and target != layer and target not in MAY[layer]:
                    yield path, number, f"{layer} may not include {match.group(1)}"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    found = [f"{path}:{line}: {rule}" for path, line, rule in violations(root)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
