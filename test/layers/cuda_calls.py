#!/usr/bin/env python3
"""Compares docs/cuda-calls.md with the functions that the CUDA plugin resolves.

    cuda_calls.py ROOT      prints each difference; exits with 1 if there is one
"""

import os
import re
import sys

root = sys.argv[1]
called = {"cuGetProcAddress"}  # by its versioned name
folder = os.path.join(root, "runtime", "device", "cuda")
for name in sorted(os.listdir(folder)):
    if name.endswith(".def"):
        with open(os.path.join(folder, name)) as file:
            called |= set(re.findall(r"^TITAN_\w+\((?:[^(,]*, )?(\w+), ?\(?", file.read(), re.MULTILINE))

rows = {}
with open(os.path.join(root, "docs", "cuda-calls.md")) as file:
    for match in re.finditer(r"^\| `(\w+)` \|([^|]*)\|", file.read(), re.MULTILINE):
        rows[match[1]] = match[2].strip()

problems = [f"{name} is called, but docs/cuda-calls.md does not have it" for name in sorted(called - rows.keys())]
problems += [f"{name} is in docs/cuda-calls.md, but is not called" for name in sorted(rows.keys() - called)]
problems += [f"{name} has no preconditions in docs/cuda-calls.md" for name, text in rows.items() if not text]
print("\n".join(problems))
sys.exit(1 if problems else 0)
