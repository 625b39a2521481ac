"""memory_limit.py BUILD_ROOT JOB FOLDER: compiles JOB, on one rank and on a pipeline of two, with limits from what the
mode none takes to the least that suffices, and compares the reports."""

import os
import re
import subprocess
import sys

BUILD_ROOT, JOB, FOLDER = sys.argv[1:]
LAYERS = ["--model.n_layers", "4", "--training.seq_len", "64", "--training.local_batch_size", "4",
          "--validation.no_enable"]
PIPELINE = ["--world-size", "2", "--parallelism.pipeline_parallel_degree", "2"]


def compile_job(options):
    return subprocess.run([os.path.join(BUILD_ROOT, "bin/titan-compile"), JOB, "--report", "-o",
                           os.path.join(FOLDER, "model.tbin"), *LAYERS, *options],
                          text=True, capture_output=True)


def number(text):
    return int(text.replace(",", ""))


def read(done):
    """Bytes of all memory and of residuals, by rank, and the flops of matrix products."""
    assert done.returncode == 0, done.stderr
    memory = done.stdout[done.stdout.index("memory of one rank"):]
    memory = memory[:memory.index("\n\n")]
    segments = [(name, rank, number(size))
                for name, rank, size in re.findall(r"^  (\w+)(?:\.(\d+))? +([\d,]+)  ", memory, re.M)
                if name != "total"]
    ranks = sorted({rank for _, rank, _ in segments if rank}) or [""]
    totals = [sum(size for _, owner, size in segments if owner in ("", rank)) for rank in ranks]
    residuals = [sum(size for name, owner, size in segments if name == "residuals" and owner in ("", rank))
                 for rank in ranks]
    return totals, residuals, number(re.search(r"flops of its matrix products +([\d,]+)", done.stdout)[1])


def limited(limit, options):
    return compile_job([*options, "--activation_checkpoint.mode", "memory_limit",
                        "--activation_checkpoint.memory_limit", str(limit)])


def check(name, options):
    none = read(compile_job([*options, "--activation_checkpoint.mode", "none"]))
    refused = limited(1, options)
    assert refused.returncode == 1, refused.stderr
    least = number(re.search(r"needs at least ([\d,]+) bytes", refused.stderr)[1])
    most = max(none[0])
    assert least < most
    almost = limited(least - least // 400, options)
    assert almost.returncode == 1 and f"at least {least:,} bytes" in almost.stderr, almost.stderr
    before = read(limited(most, options))
    assert before == none, (before, none)
    count = 4
    for i in range(count):
        limit = most - (most - least) * (i + 1) // count
        now = read(limited(limit, options))
        assert max(now[0]) <= limit, (now, limit)
        for rank, total in enumerate(none[0]):
            if total <= limit:  # this rank recomputes nothing
                assert now[1][rank] == none[1][rank], (rank, now, none)
        assert all(a >= b for a, b in zip(before[1], now[1])), (before, now)
        assert now[2] >= before[2], (before, now)
        before = now
    assert before[2] > none[2]
    print(f"{name}: {count} limits kept")


check("one rank", [])
check("two ranks", PIPELINE)
