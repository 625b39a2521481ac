"""Counts the collectives of a job's local phase: per layer and what the model's ends cost.

    collectives.py JOB WORK_DIR [OPTION ...]      with titan-compile on PATH

Compiles the job with two and with three layers. Prints, per function, kind and axes, how many ops the third
layer adds (and how many tensors they carry together), and what is left of two layers without their
layers' share.
"""

import collections
import os
import re
import subprocess
import sys

COLLECTIVE = re.compile(r"titan\.(all_gather|all_reduce|reduce_scatter|all_to_all|permute)(?: (?:sum|max|mean))? (.*?) over \[(.*?)\]")


def counts(job, work, layers, options):
    """{(function, kind, axes): [ops, tensors]}"""
    path = os.path.join(work, f"local{layers}.mlir")
    subprocess.run(["titan-compile", job, "--model.n_layers", str(layers),
                    "--activation_checkpoint.mode", "none", *options, "--compile-to=local", "-o", path],
                   check=True, stderr=subprocess.DEVNULL)
    found, function = collections.defaultdict(lambda: [0, 0]), None
    with open(path) as file:
        for line in file:
            begin = re.search(r"func\.func @(\w+)", line)
            function = begin[1] if begin else function
            collective = COLLECTIVE.search(line)
            if collective:
                kind, operands, axes = collective.groups()
                entry = found[function, kind, axes.replace(" ", "")]
                entry[0] += 1
                entry[1] += operands.count("%")
            elif re.search(r"titan\.(all_|reduce_scatter)", line):
                sys.exit(f"a collective that this script does not understand: {line}")
    return found


def main():
    job, work, options = sys.argv[1], sys.argv[2], sys.argv[3:]
    os.makedirs(work, exist_ok=True)
    two, three = (counts(job, work, layers, options) for layers in (2, 3))
    for key in sorted(three.keys() | two.keys()):
        layer = [a - b for a, b in zip(three[key], two[key])]
        ends = [a - 2 * b for a, b in zip(two[key], layer)]
        function, kind, axes = key
        print(f"{function} {kind} [{axes}]: {layer[0]} of {layer[1]} per layer, {ends[0]} of {ends[1]} besides")


if __name__ == "__main__":
    main()
