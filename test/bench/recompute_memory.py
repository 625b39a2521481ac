#!/usr/bin/env python3
"""Memory and recomputation of large jobs in every mode, by the compiler's report: a table for docs/benchmarks.md.

    test/bench/recompute_memory.py BUILD_DIR [8B|70B ...]

Nothing runs: each line is a compilation for NVIDIA GPUs (sm_90). The meshes are those for which
torchtitan's memory is published.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
JOBS = {
    "8B": ("8b.toml", ["--world-size", "8", "--training.local_batch_size", "2"]),
    "8B on 128": ("8b.toml", ["--world-size", "128", "--training.local_batch_size", "2"]),
    "70B": ("70b.toml", ["--world-size", "256", "--parallelism.data_parallel_shard_degree", "32",
                         "--parallelism.tensor_parallel_degree", "8", "--training.local_batch_size", "16"]),
}
MODES = {
    "none": ["none"],
    "selective, 2": ["selective", "--activation_checkpoint.selective_ac_option", "2"],
    "selective, op": ["selective", "--activation_checkpoint.selective_ac_option", "op"],
    "memory_budget 0.5": ["memory_budget", "--activation_checkpoint.memory_budget", "0.5"],
    "full": ["full"],
    "memory_budget 0": ["memory_budget", "--activation_checkpoint.memory_budget", "0"],
}


def find(pattern, text):
    return float(re.search(pattern, text, re.M)[1].replace(",", ""))


def main():
    build = sys.argv[1]
    print("| job | mode | residuals | all memory of a rank | matrix products run again | time of what runs again | "
          "compiled in |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for job in sys.argv[2:] or JOBS:
            file, options = JOBS[job]
            for mode, choice in MODES.items():
                begin = time.time()
                text = subprocess.run(
                    [os.path.join(build, "bin", "titan-compile"), os.path.join(ROOT, "models", "llama3", file), "-o",
                     os.path.join(work, "x.tbin"), "--target", "cuda:sm_90", "--report",
                     "--training.seq_len", "8192", *options, "--activation_checkpoint.mode", *choice],
                    check=True, capture_output=True, text=True).stdout
                seconds = time.time() - begin
                products = find(r"flops of its matrix products +([\d,]+)", text)
                again = re.search(r"of those that run again +([\d,]+)", text)
                again = float(again[1].replace(",", "")) if again else 0
                memory = text[text.index("memory of one rank"):]
                print(f"| {job} | {mode} | {find(r'^  residuals +([0-9,]+)', memory) / 2**30:.1f} GiB "
                      f"| {find(r'^  total +([0-9,]+)', memory) / 2**30:.1f} GiB | {100 * again / products:.1f} % "
                      f"| {find(r'time of what runs again .* ([0-9.]+) % of', text):.1f} % | {seconds:.1f} s |",
                      flush=True)


if __name__ == "__main__":
    main()
