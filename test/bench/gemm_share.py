#!/usr/bin/env python3
"""The time of a job's matrix multiplications alone over the time of its training step.

    test/bench/gemm_share.py BUILD_DIR [ROUNDS [JOB.toml]]     JOB is models/llama3/bench.toml

Reads the gemm instructions of one step out of the compiled program (titan-run --dump-program), times
them alone on their shapes (GemmBench --shapes) in rounds that alternate with rounds of titan-run,
and prints the medians and their ratio. A busy machine disturbs both.
"""

import collections
import os
import re
import statistics
import subprocess
import sys
import tempfile

from steps import step_seconds, write_text

GEMM = re.compile(r"gemm %\d+(\^T)? %\d+(\^T)? (added into|into) %\d+ m (\d+) n (\d+) k (\d+) "
                  r"lda (\d+) ldb (\d+) ldc (\d+)( batch)?")
ACTION = re.compile(r"(?:prologue|body|epilogue) run \w @(\S+)")


def read_gemms(dump):
    """The multiplications of one step of timeline train, with how often each is computed."""
    functions, train, function, timeline = collections.defaultdict(list), [], None, None
    for line in dump.splitlines():
        if line.startswith("func @"):
            function = line.split()[1].lstrip("@")
        elif line.startswith("timeline @"):
            function, timeline = None, line.split()[1].lstrip("@")
        elif function and (match := GEMM.search(line)):
            if match.group(10):
                sys.exit("a batched gemm is not supported")
            sizes = tuple(int(size) for size in match.groups()[3:9])
            functions[function].append((int(bool(match.group(1))), int(bool(match.group(2))),
                                        int(match.group(3) == "added into")) + sizes)
        elif timeline == "train" and (match := ACTION.search(line)):
            train.append(match.group(1))
    return collections.Counter(gemm for name in train for gemm in functions[name])


def main():
    build = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    job = sys.argv[3] if len(sys.argv) > 3 else os.path.join(root, "models", "llama3", "bench.toml")
    run = os.path.join(build, "bin", "titan-run")
    with tempfile.TemporaryDirectory() as work:
        program, shapes = (os.path.join(work, name) for name in ("model.tbin", "shapes.txt"))
        text = write_text(work)
        subprocess.run([os.path.join(build, "bin", "titan-compile"), job, "-o", program],
                       check=True, stderr=subprocess.DEVNULL)
        dump = subprocess.run([run, program, "--dump-program"], check=True, capture_output=True,
                              text=True).stdout
        gemms = read_gemms(dump)
        with open(shapes, "w") as file:
            for gemm, count in gemms.items():
                file.write(" ".join(map(str, gemm + (count,))) + "\n")
        alone, steps = [], []
        for _ in range(rounds):
            bench = subprocess.run([os.path.join(build, "bench", "GemmBench"), f"--shapes={shapes}",
                                    f"--threads={os.cpu_count()}", "--rounds=1"],
                                   check=True, capture_output=True, text=True)
            alone += [float(line) for line in bench.stdout.split()]
            steps += step_seconds(build, program, text, work)
    flops = sum(2 * m * n * k * count for (_, _, _, m, n, k, *_), count in gemms.items())
    gemm_time, step_time = statistics.median(alone), statistics.median(steps)
    print(f"{os.path.basename(job)}: {sum(gemms.values())} multiplications of {len(gemms)} shapes, "
          f"{flops / 1e9:.1f} Gflop a step; {rounds} rounds")
    print(f"  multiplications alone {gemm_time:8.4f} s  ({min(alone):.4f} to {max(alone):.4f}, "
          f"{flops / gemm_time / 1e9:.1f} GF/s)")
    print(f"  training step         {step_time:8.4f} s  ({min(steps):.4f} to {max(steps):.4f})")
    print(f"  ratio                 {gemm_time / step_time:8.3f}")


if __name__ == "__main__":
    main()
