"""recompute.py limits|budgets BUILD_ROOT JOB FOLDER: compiles JOB, alone and on meshes, with different choices of what
the backward recomputes, and compares the reports.

limits: from the memory that the mode none takes to the least that suffices. budgets: from 1 to 0; and what full keeps.
"""

import os
import re
import subprocess
import sys

PART, BUILD_ROOT, JOB, FOLDER = sys.argv[1:]
LAYERS, SEQ, ROWS, DIM = 4, 64, 4, 16
SHAPE = ["--model.n_layers", str(LAYERS), "--training.seq_len", str(SEQ), "--training.local_batch_size", str(ROWS),
         "--model.dim", str(DIM), "--validation.no_enable"]
PIPELINE = ["--world-size", "2", "--parallelism.pipeline_parallel_degree", "2"]


def compile_job(options):
    return subprocess.run([os.path.join(BUILD_ROOT, "bin/titan-compile"), JOB, "--report", "-o",
                           os.path.join(FOLDER, "model.tbin"), *SHAPE, *options],
                          text=True, capture_output=True)


def number(text):
    return int(text.replace(",", ""))


def read(done):
    """Bytes of all memory and of residuals, and the time of what runs again, by rank."""
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
    again = re.findall(r"time of what runs again +([\d,]+)", done.stdout)
    return totals, residuals, [number(work) for work in again]


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
        assert all(a <= b for a, b in zip(before[2], now[2])), (before, now)
        before = now
    assert max(before[2]) > max(none[2])
    print(f"{name}: {count} limits kept")


def budgets(name, options, stream, in_flight=(1,)):
    """`stream` is what a rank has of a layer's input; `in_flight` microbatches each pipeline rank has of it."""

    def kept_and_again(*mode):
        text = compile_job([*options, "--activation_checkpoint.mode", *mode]).stdout
        return [[number(found) for found in re.findall(pattern + r" +([\d,]+)", text)]
                for pattern in ("kept for the backward", "time of what runs again")]

    none = kept_and_again("none")
    least = kept_and_again("memory_budget", "--activation_checkpoint.memory_budget", "0")
    before = None
    for budget in (1, 0.8, 0.6, 0.4, 0.2, 0):
        now = kept_and_again("memory_budget", "--activation_checkpoint.memory_budget", str(budget))
        for rank, most in enumerate(none[0]):
            assert now[0][rank] <= least[0][rank] + budget * (most - least[0][rank]), (budget, now, none, least)
        if before:
            assert all(a >= b for a, b in zip(before[0], now[0])), (budget, before, now)
            assert all(a <= b for a, b in zip(before[1], now[1])), (budget, before, now)
        before = now
    assert all(a < b for a, b in zip(least[0], none[0])), (least, none)
    # The layers' inputs and the head's; a stage gets its first layer's input from the one before.
    layers = LAYERS // len(in_flight)
    wanted = [count * stream * (layers + (len(in_flight) == 1)) for count in in_flight]
    full = kept_and_again("full")
    assert full[0] == wanted, (full, wanted)
    print(f"{name}: budgets kept, full keeps the inputs of layers")


if PART == "limits":
    check("one rank", [])
    check("two ranks", PIPELINE)
else:
    microbatch = SEQ * DIM * 4
    mesh = ["--parallelism.data_parallel_shard_degree", "2", "--parallelism.tensor_parallel_degree", "2"]
    budgets("one rank", [], ROWS * microbatch)
    budgets("dp_shard 2 x tp 2", ["--world-size", "4", *mesh], ROWS * microbatch // 2)
    budgets("pp 2", PIPELINE, microbatch, (2, 1))
    budgets("pp 2 x dp_shard 2 x tp 2", ["--world-size", "8", *PIPELINE[2:], *mesh], microbatch // 2, (2, 1))
