"""Compares the resident set of a run with the memory that the compiler and the runtime itemize.

    memory.py BUILD_DIR SOURCE_DIR WORK_DIR

The debug model with one row of 2048 tokens, two steps.
"""

import json
import os
import random
import re
import subprocess
import sys

BUILD, SOURCE, WORK = (os.path.abspath(path) for path in sys.argv[1:4])
COMPILE, RUN = (os.path.join(BUILD, "bin", name) for name in ("titan-compile", "titan-run"))


def call(*arguments):
    done = subprocess.run(arguments, cwd=WORK, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{done.stderr}")
    return done.stdout, done.stderr


def planned(report):
    """{segment: bytes} and the total of the report's memory."""
    part = report.split("memory of one rank\n")[1].split("\n\n")[0]
    rows = {name: int(value.replace(",", "")) for name, value in
            re.findall(r"^  (\S+) +([\d,]+)", part, re.MULTILINE)}
    return {name: value for name, value in rows.items() if name != "total"}, rows["total"]


def main():
    os.makedirs(WORK, exist_ok=True)
    with open(os.path.join(WORK, "text.txt"), "w") as text:
        chosen = random.Random(1)
        text.write("".join(chosen.choices("abcdefgh \n", k=100_000)))
    report, _ = call(COMPILE, os.path.join(SOURCE, "models", "llama3", "debugmodel.toml"), "--report",
                     "--training.local_batch_size", "1", "-o", "model.tbin")
    segments, total = planned(report)
    _, log = call(RUN, "model.tbin", "--training.dataset_path", "text.txt", "--training.steps", "2",
                  "--metrics.jsonl", "metrics.jsonl")
    line = re.search(r"memory in bytes: (.*)", log).group(1)
    items = {name: int(value) for name, value in re.findall(r"([a-z][a-z_ ]*?) (\d+)", line)}
    whole = items.pop("total")
    if any(items[name] != value for name, value in segments.items()) or sum(segments.values()) != total:
        sys.exit(f"titan-run itemizes {items}, the report {segments} and {total}")
    if sum(items.values()) != whole:
        sys.exit(f"the items {items} are not the total {whole}")
    host = int(re.search(r"host batches +([\d,]+)", report).group(1).replace(",", ""))
    if items["host batches"] != host:
        sys.exit(f"titan-run has {items['host batches']} bytes of host batches, the report {host}")
    print(f"the arena is the report's, {total} bytes; beside it",
          ", ".join(f"{name} {value}" for name, value in items.items() if name not in segments))
    with open(os.path.join(WORK, "metrics.jsonl")) as lines:
        resident = max(json.loads(line)["memory_gib"] for line in lines) * 2**30
    bound = 0.02 * whole + 64 * 2**20
    if abs(resident - whole) > bound:
        sys.exit(f"the resident set is {resident:.0f} bytes, itemized are {whole}")
    print(f"resident set {resident:.0f} of {whole} itemized: {abs(resident - whole) / bound:.2f} of what may "
          "differ, within")


if __name__ == "__main__":
    main()
