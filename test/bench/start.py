"""How much later than a step takes does titan-run finish its first step?

    start.py BUILD_DIR CORPUS [RUNS]     CORPUS: a text file or folder

The debug model with one row of 2048 tokens. Start-up is the time from the start of the process to the line of
step 1, less the median time of steps 2 to 4 of the same run; the first run, which tokenizes the corpus, is not
counted. Prints every run and the median; wanted: at most 0.3 s, on an idle machine.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

BUILD, CORPUS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
RUNS = int(sys.argv[3]) if len(sys.argv) > 3 else 7
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPILE, RUN = (os.path.join(BUILD, "bin", name) for name in ("titan-compile", "titan-run"))


def first_step(folder):
    """Seconds to the line of step 1, and those of a later step."""
    start = time.perf_counter()
    run = subprocess.Popen([RUN, "model.tbin", "--training.dataset_path", CORPUS, "--training.steps", "4",
                            "--metrics.jsonl", "metrics.jsonl"], cwd=folder, stderr=subprocess.PIPE, text=True)
    first = None
    for line in run.stderr:
        if first is None and "step:  1" in line:
            first = time.perf_counter() - start
    if run.wait() != 0 or first is None:
        sys.exit("titan-run failed")
    with open(os.path.join(folder, "metrics.jsonl")) as lines:
        later = [json.loads(line)["seconds_per_step"] for line in lines][1:]
    return first, statistics.median(later)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([COMPILE, os.path.join(ROOT, "models", "llama3", "debugmodel.toml"),
                        "--training.local_batch_size", "1", "-o", "model.tbin"], cwd=folder, check=True,
                       stderr=subprocess.DEVNULL)
        first_step(folder)
        extra = []
        for _ in range(RUNS):
            first, step = first_step(folder)
            extra.append(first - step)
            print(f"first step after {first:.3f} s, a step takes {step:.3f} s: start-up {extra[-1]:.3f} s",
                  flush=True)
        print(f"median start-up {statistics.median(extra):.3f} s, largest {max(extra):.3f} s")


if __name__ == "__main__":
    main()
