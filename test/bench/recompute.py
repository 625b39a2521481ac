#!/usr/bin/env python3
"""What recomputation costs in time: predicted by the compiler, and measured.

    test/bench/recompute.py BUILD_DIR [ROUNDS [JOB.toml]]     JOB is models/llama3/bench.toml

Compiles the job with activation_checkpoint.mode none, full and memory_budget 0.5. The prediction is
the report's "time of what runs again", a share of forward and backward; the measurement is the time
of a step over that of mode none, in rounds that alternate. Printed are medians and the fastest
steps, which a busy machine disturbs least, and how far the prediction is off of either.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile

from steps import step_seconds, write_text

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODES = {
    "none": ["none"],
    "full": ["full"],
    "budget 0.5": ["memory_budget", "--activation_checkpoint.memory_budget", "0.5"],
}


def predict(build, job, mode, program):
    """Compiles, and reads how much longer the mode takes than `none`."""
    done = subprocess.run([os.path.join(build, "bin", "titan-compile"), job, "-o", program, "--report",
                           "--activation_checkpoint.mode", *MODES[mode]],
                          check=True, capture_output=True, text=True)
    share = re.search(r"time of what runs again .* ([\d.]+) % of forward and backward", done.stdout)
    return 1 + float(share[1]) / 100


def main():
    build = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    job = sys.argv[3] if len(sys.argv) > 3 else os.path.join(ROOT, "models", "llama3", "bench.toml")
    seconds = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as work:
        text = write_text(work)
        programs = {mode: os.path.join(work, f"{index}.tbin") for index, mode in enumerate(MODES)}
        predicted = {mode: predict(build, job, mode, programs[mode]) for mode in MODES}
        for _ in range(rounds):
            for mode in MODES:
                seconds[mode] += step_seconds(build, programs[mode], text, work)
    print(f"{os.path.basename(job)}, {rounds} rounds, time of a step and over that of none")
    for mode, values in seconds.items():
        wanted = predicted[mode] / predicted["none"]
        line = f"  {mode:10} predicted {wanted:.3f}"
        for name, choose in (("median", statistics.median), ("fastest", min)):
            measured = choose(values) / choose(seconds["none"])
            line += (f"   {name} {choose(values):6.3f} s, {measured:.3f},"
                     f" off by {100 * (wanted / measured - 1):+.1f} %")
        print(line)


if __name__ == "__main__":
    main()
