#!/usr/bin/env python3
"""Per-pass compile times of the 405B model, with 126 layers and with 252.

    test/bench/compile_time.py BUILD_DIR [ROUNDS]

Runs titan-compile --compile-to=exec --time-passes on models/llama3/405b.toml, interleaved, and
prints the medians per phase and of the whole command, and the ratio of the two sizes.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

LAYERS = (126, 252)
# "  0.0424 ( 10.5%)  0.0424 ( 10.6%)  titan-differentiate": the last time is the wall's.
LINE = re.compile(r"^\s*(?:[\d.]+ \(\s*[\d.]+%\)\s+)*([\d.]+) \(\s*[\d.]+%\)  ( *)(\S.*)$")


def read_report(text):
    """Seconds by "phase" and "phase / pass"."""
    seconds, phase = {}, ""
    for line in text.splitlines():
        if not (match := LINE.match(line)):
            continue
        name = match.group(3).rsplit("::", 1)[-1]
        if match.group(2):
            name = f"{phase} / {name}"
        else:
            phase = name
        seconds[name] = seconds.get(name, 0) + float(match.group(1))
    return seconds


def main():
    build = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    times = {layers: {} for layers in LAYERS}
    # Not /dev/null: the output is renamed into its place, and would replace the device.
    with tempfile.TemporaryDirectory() as work:
        for layers in LAYERS * rounds:
            start = time.perf_counter()
            result = subprocess.run(
                [os.path.join(build, "bin", "titan-compile"),
                 os.path.join(root, "models", "llama3", "405b.toml"), "--compile-to=exec",
                 "--time-passes", "-o", os.path.join(work, "exec.mlir"), "--model.n_layers",
                 str(layers)], check=True, capture_output=True, text=True)
            seen = {"whole command": time.perf_counter() - start}
            seen.update(read_report(result.stderr))
            for name, seconds in seen.items():
                times[layers].setdefault(name, []).append(seconds)
    small, large = (times[layers] for layers in LAYERS)
    print(f"{'seconds, medians of ' + str(rounds):40} {LAYERS[0]:>8} {LAYERS[1]:>8}    ratio")
    for name in small:
        a, b = statistics.median(small[name]), statistics.median(large.get(name, [0]))
        ratio = f"{b / a:8.2f}" if a >= 0.001 else "       -"
        print(f"{name:40} {a:8.3f} {b:8.3f} {ratio}")


if __name__ == "__main__":
    main()
