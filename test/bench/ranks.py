#!/usr/bin/env python3
"""Tokens per second of two ranks of one thread each over those of one rank with two threads.

    test/bench/ranks.py BUILD_DIR [ROUNDS]

models/llama3/bench.toml with its global batch, on one rank, on dp_shard 2 (two rows a rank) and on
tp 2 (with sequence parallelism). Ranks are threads of one process. Rounds are interleaved; printed
are the medians of the steps' tokens per second, and the ratios.
"""

import os
import statistics
import subprocess
import sys
import tempfile

from steps import step_seconds, write_text

ROWS, SEQ = 4, 512
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MESHES = {
    "one rank": (["--training.local_batch_size", str(ROWS)], 2),
    "dp_shard 2": (["--world-size", "2", "--parallelism.data_parallel_shard_degree", "2",
                    "--training.local_batch_size", str(ROWS // 2)], 1),
    "tp 2": (["--world-size", "2", "--parallelism.tensor_parallel_degree", "2",
              "--training.local_batch_size", str(ROWS)], 1),
}


def main():
    build = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    speeds = {name: [] for name in MESHES}
    with tempfile.TemporaryDirectory() as work:
        text = write_text(work)
        programs = {name: os.path.join(work, f"{index}.tbin") for index, name in enumerate(MESHES)}
        for name, (options, _) in MESHES.items():
            subprocess.run([os.path.join(build, "bin", "titan-compile"),
                            os.path.join(ROOT, "models", "llama3", "bench.toml"), "-o",
                            programs[name], "--training.seq_len", str(SEQ), *options],
                           check=True, stderr=subprocess.DEVNULL)
        for _ in range(rounds):
            for name, (_, threads) in MESHES.items():
                seconds = step_seconds(build, programs[name], text, work, "--runtime.threads", str(threads))
                speeds[name] += [ROWS * SEQ / each for each in seconds]
    one = statistics.median(speeds["one rank"])
    print(f"bench.toml, {ROWS} x {SEQ} tokens a step, {rounds} rounds, medians of tokens/s")
    for name, values in speeds.items():
        median = statistics.median(values)
        print(f"  {name:10} {median:8.0f}   ({min(values):8.0f} to {max(values):8.0f})   "
              f"of one rank: {median / one:.2f}")


if __name__ == "__main__":
    main()
