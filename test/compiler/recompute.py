"""recompute.py limits|budgets|models BUILD_ROOT JOB FOLDER: compiles JOB, alone and on meshes, with different choices
of what the backward recomputes, and compares the reports.

limits: from the memory that the mode none takes to the least that suffices. budgets: from 1 to 0; and what full keeps.
models: both, where JOB is the folder of the debug model's and the 8B model's jobs.
"""

import os
import re
import subprocess
import sys

PART, BUILD_ROOT, JOB, FOLDER = sys.argv[1:]
LAYERS, SEQ, ROWS, DIM = 4, 64, 4, 16
SHAPE = [JOB, "--model.n_layers", str(LAYERS), "--training.seq_len", str(SEQ), "--training.local_batch_size", str(ROWS),
         "--model.dim", str(DIM)]
PIPELINE = ["--parallelism.pipeline_parallel_degree", "2"]
TWO, FOUR, EIGHT = (["--world-size", count] for count in "248")


def compile_job(options):
    return subprocess.run([os.path.join(BUILD_ROOT, "bin/titan-compile"), "--report", "--validation.no_enable", "-o",
                           os.path.join(FOLDER, "model.tbin"), *options],
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


def limits(name, options, count=4):
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


def budgets(name, options, stream, kept_inputs, shares=(1, 0.8, 0.6, 0.4, 0.2, 0)):
    """`stream` is what a rank has of a layer's input; `kept_inputs` how many each pipeline rank keeps of layers and of
    the head, of all its microbatches in flight: beside the first of a stage, which comes from another stage."""

    def kept_and_again(*mode):
        text = compile_job([*options, "--activation_checkpoint.mode", *mode]).stdout
        return [[number(found) for found in re.findall(pattern + r" +([\d,]+)", text)]
                for pattern in ("kept for the backward", "time of what runs again")]

    none = kept_and_again("none")
    least = kept_and_again("memory_budget", "--activation_checkpoint.memory_budget", "0")
    before = None
    for budget in shares:
        now = kept_and_again("memory_budget", "--activation_checkpoint.memory_budget", str(budget))
        for rank, most in enumerate(none[0]):
            assert now[0][rank] <= least[0][rank] + budget * (most - least[0][rank]), (budget, now, none, least)
        if before:
            assert all(a >= b for a, b in zip(before[0], now[0])), (budget, before, now)
            assert all(a <= b for a, b in zip(before[1], now[1])), (budget, before, now)
        before = now
    assert all(a < b for a, b in zip(least[0], none[0])), (least, none)
    full = kept_and_again("full")
    wanted = [stream * inputs for inputs in kept_inputs]
    assert full[0] == wanted, (full, wanted)
    print(f"{name}: budgets kept, full keeps the inputs of layers")


MESH = ["--parallelism.data_parallel_shard_degree", "2", "--parallelism.tensor_parallel_degree", "2"]
HALVES = ["--parallelism.pipeline_parallel_schedule", "ZBVZeroBubble"]
if PART == "limits":
    limits("one rank", SHAPE)
    limits("two ranks", [*SHAPE, *PIPELINE, *TWO])
    limits("two ranks, halves", [*SHAPE, *PIPELINE, *HALVES, *TWO], 2)
    limits("two ranks x dp_shard 2 x tp 2", [*SHAPE, *PIPELINE, *MESH, *EIGHT], 2)
elif PART == "budgets":
    microbatch = SEQ * DIM * 4
    budgets("one rank", SHAPE, ROWS * microbatch, [LAYERS + 1])
    budgets("dp_shard 2 x tp 2", [*SHAPE, *MESH, *FOUR], ROWS * microbatch // 2, [LAYERS + 1])
    # Stage 0 keeps two layers' inputs, of two microbatches, stage 1 one layer's and the head's.
    budgets("pp 2", [*SHAPE, *PIPELINE, *TWO], microbatch, [2 * 2, 2])
    budgets("pp 2 x dp_shard 2 x tp 2", [*SHAPE, *PIPELINE, *MESH, *EIGHT], microbatch // 2, [2 * 2, 2])
    # A layer a stage. Rank 0 has the first, whose input four microbatches keep until their second half, and the last
    # with the input of the head.
    budgets("pp 2 in halves", [*SHAPE, *PIPELINE, *HALVES, *TWO], microbatch, [4 + 1, 0])
    budgets("pp 2 x dp_shard 2 x tp 2 in halves", [*SHAPE, *PIPELINE, *HALVES, *MESH, *EIGHT],
            microbatch // 2, [4 + 1, 0])
else:
    debug, large = (os.path.join(JOB, name + ".toml") for name in ("debugmodel", "8b"))
    budgets("debug model", [debug, "--training.local_batch_size", "1"], 2048 * 256 * 4, [6 + 1])
    limits("debug model", [debug, "--training.local_batch_size", "1"], 2)
    budgets("8B", [large, *EIGHT], 8192 * 4096 * 2, [32 + 1], (1, 0.5, 0))
