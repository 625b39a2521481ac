"""Broken input through the command-line tools: exit code 1 and an error that names the place.

    bad-input.py SOURCE_ROOT WORK_DIR [SEEDS [FIRST]]    with titan-compile, titan-run and titan-data on PATH

First every case of the tables below, then seeded damage to a sound file of each kind, one process
each: it is refused, or it does no harm. A crash, a hang, another exit code, or a word of a sanitizer
fails. Damage of every byte is for test/unit/tools, which needs no process for each. More seeds than one, or
others than from 0 (FIRST), are for runs by hand.
"""

import gzip
import json
import os
import random
import shutil
import struct
import subprocess
import sys

SOURCE, WORK = (os.path.abspath(argument) for argument in sys.argv[1:3])
SEEDS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
FIRST = int(sys.argv[4]) if len(sys.argv) > 4 else 0
SECONDS = 120
FIXTURE = os.path.join(SOURCE, "test", "unit", "data", "fixture")

JOB = """
[model]
name = "llama3"
flavor = "debugmodel"
dim = 16
n_layers = 1
n_heads = 2
n_kv_heads = 1
ffn_hidden_dim = 16
vocab_size = 700
[training]
dataset_path = "good.jsonl"
local_batch_size = 2
seq_len = 8
steps = 2
mixed_precision_param = "float32"
[metrics]
log_freq = 1
[debug]
seed = 1
"""
RUN = ["titan-run", "model.tbin"]
DATA = [*RUN, "--training.dataset_path"]
LOAD = [*RUN, "--checkpoint.initial_load_path"]
COMPILE = ["titan-compile", "--compile-to=exec", "-o", "out.mlir"]


def path(name):
    return os.path.join(WORK, name)


def write(name, contents):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as file:
        file.write(contents if isinstance(contents, bytes) else contents.encode())


def read(name):
    with open(path(name), "rb") as file:
        return file.read()


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def batches(tokens=None, **changes):
    """Pre-tokenized batches of 2 steps, 2 rows and 8 tokens."""
    count = 2 * 2 * 8
    header = {
        "tokens": {"dtype": "I32", "shape": [2, 2, 8], "data_offsets": [0, 4 * count]},
        "labels": {"dtype": "I32", "shape": [2, 2, 8], "data_offsets": [4 * count, 8 * count]},
    }
    header["tokens"].update(changes)
    data = struct.pack(f"<{count}i", *(tokens or range(count)))
    return safetensors(header, data + struct.pack(f"<{count}i", *range(count)))


def write_inputs():
    documents = [{"text": f"document {i}: the quick brown fox jumps over the lazy dog"} for i in range(40)]
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    write("good.jsonl", lines)
    packed = gzip.compress(lines.encode(), mtime=0)
    write("good.json.gz", packed)
    write("good.safetensors", batches())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(FIXTURE, name), path(name))
    write("job.toml", JOB)

    write("cut.jsonl", lines + '{"text": "never')
    write("list.jsonl", lines + "[1, 2]\n")
    write("key.jsonl", lines + '{"words": "x"}\n')
    write("type.jsonl", lines + '{"text": 3}\n')
    write("utf8.jsonl", lines.encode() + b'{"text": "\xff\xfe"}\n')
    write("deep.jsonl", lines + '{"text": ' + "[" * 100000 + "\n")
    write("empty.jsonl", "")
    write("cut.json.gz", packed[: len(packed) // 2])
    write("crc.json.gz", packed[:-8] + b"\0\0\0\0" + packed[-4:])
    write("plain.json.gz", lines)
    os.makedirs(path("folder"), exist_ok=True)

    write("cut.safetensors", batches()[:100])
    write("tiny.safetensors", b"\1\2\3")
    write("huge.safetensors", struct.pack("<Q", 1 << 62) + b"{}")
    write("json.safetensors", safetensors(b'{"tokens": '))
    write("array.safetensors", safetensors([]))
    write("none.safetensors", safetensors({}))
    write("float.safetensors", batches(dtype="F32"))
    write("shape.safetensors", batches(shape=[2, 2, 9]))
    write("rank.safetensors", batches(shape=[32]))
    write("negative.safetensors", batches(shape=[2, 2, -8]))
    write("overflow.safetensors", batches(shape=[1 << 40, 1 << 40, 8]))
    write("offsets.safetensors", batches(data_offsets=[0, 1 << 60]))
    write("backward.safetensors", batches(data_offsets=[128, 0]))
    write("vocabulary.safetensors", batches([700] * 32))
    write("below.safetensors", batches([-1] * 32))

    good = json.loads(read("tokenizer.json"))
    write("tokenizers/cut/tokenizer.json", json.dumps(good)[:1000])
    write("tokenizers/list/tokenizer.json", "[]")
    write("tokenizers/deep/tokenizer.json", "[" * 100000)
    write("tokenizers/empty/tokenizer.json", "")
    write("tokenizers/unigram/tokenizer.json", json.dumps({**good, "model": {"type": "Unigram"}}))
    write("tokenizers/pattern/tokenizer.json", json.dumps(good).replace("\\\\p{L}", "\\\\p{", 1))
    os.makedirs(path("tokenizers/none"), exist_ok=True)

    write("broken.toml", JOB + '[training\nsteps = "')
    write("binary.toml", bytes(range(256)))
    write("deep.toml", "x = " + "[" * 100000)
    write("many.toml", ".".join(["a"] * 100000) + " = 1")


# A command and what its error must name.
COMPILE_CASES = [
    (["missing.toml"], ["missing.toml"]),
    (["folder"], ["folder"]),
    (["broken.toml"], ["broken.toml:", "broken TOML"]),
    (["binary.toml"], ["binary.toml:1", "broken TOML"]),
    (["deep.toml"], ["deep.toml:1", "broken TOML"]),
    (["many.toml"], ["many.toml:1", "broken TOML", "at most"]),
    (["job.toml", "--model.dim=0"], ["--model.dim", "found 0", "at least 1"]),
    (["job.toml", "--model.dim=18"], ["model.dim = 18", "must be even"]),
    (["job.toml", "--model.n_heads=3"], ["model.n_heads = 3", "model.dim = 16", "such as 2"]),
    (["job.toml", "--model.n_layers=1000000000"], ["model.n_layers = 1000000000", "from 1 to 4096"]),
    (["job.toml", "--model.dim=536870912"], ["model.dim = 536870912", "at most"]),
    (["job.toml", "--training.seq_len=9223372036854775807"], ["training.seq_len = 9223372036854775807"]),
    (["job.toml", "--training.loss_chunks=100000"], ["training.loss_chunks", "at most 256"]),
    (["job.toml", "--optimizer.lr=nan"], ["optimizer.lr", "found nan", "at least 0"]),
    (["job.toml", "--optimizer.lr=inf"], ["optimizer.lr", "found inf", "at most"]),
]
RUN_CASES = [
    (["titan-run", "missing.tbin"], ["missing.tbin"]),
    (["titan-run", "folder"], ["folder"]),
    (["titan-run", "good.jsonl"], ["good.jsonl", "not those of a program file"]),
    (["titan-run", "empty.jsonl", "--dump-program"], ["empty.jsonl", "at least 64 bytes, found 0"]),
    ([*DATA, "missing.jsonl"], ["missing.jsonl"]),
    ([*DATA, "missing/*.jsonl"], ["missing/*.jsonl"]),
    ([*DATA, "folder"], ["folder"]),
    ([*DATA, "cut.jsonl"], ["cut.jsonl:41"]),
    ([*DATA, "list.jsonl"], ["list.jsonl:41"]),
    ([*DATA, "key.jsonl"], ["key.jsonl:41", "text"]),
    ([*DATA, "type.jsonl"], ["type.jsonl:41", "text"]),
    ([*DATA, "utf8.jsonl"], ["utf8.jsonl:41"]),
    ([*DATA, "deep.jsonl"], ["deep.jsonl:41"]),
    ([*DATA, "empty.jsonl"], ["empty.jsonl"]),
    ([*DATA, "cut.json.gz"], ["cut.json.gz"]),
    ([*DATA, "crc.json.gz"], ["crc.json.gz"]),
    ([*DATA, "plain.json.gz"], ["plain.json.gz"]),
    ([*DATA, "missing.safetensors"], ["missing.safetensors"]),
    ([*DATA, "cut.safetensors"], ["cut.safetensors"]),
    ([*DATA, "tiny.safetensors"], ["tiny.safetensors"]),
    ([*DATA, "huge.safetensors"], ["huge.safetensors"]),
    ([*DATA, "json.safetensors"], ["json.safetensors"]),
    ([*DATA, "array.safetensors"], ["array.safetensors"]),
    ([*DATA, "none.safetensors"], ["none.safetensors", "tokens"]),
    ([*DATA, "float.safetensors"], ["float.safetensors", "tokens"]),
    ([*DATA, "shape.safetensors"], ["shape.safetensors", "tokens"]),
    ([*DATA, "rank.safetensors"], ["rank.safetensors", "tokens"]),
    ([*DATA, "negative.safetensors"], ["negative.safetensors", "tokens"]),
    ([*DATA, "overflow.safetensors"], ["overflow.safetensors", "tokens"]),
    ([*DATA, "offsets.safetensors"], ["offsets.safetensors", "tokens"]),
    ([*DATA, "backward.safetensors"], ["backward.safetensors", "tokens"]),
    ([*DATA, "vocabulary.safetensors"], ["vocabulary.safetensors", "700"]),
    ([*DATA, "below.safetensors"], ["below.safetensors", "-1"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/none"], ["tokenizers/none"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/missing"], ["tokenizers/missing"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/cut"], ["tokenizers/cut"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/list"], ["tokenizers/list", "not a JSON object"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/deep"], ["tokenizers/deep", "not a JSON object"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/empty"], ["tokenizers/empty"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/unigram"], ["tokenizers/unigram", "Unigram", "BPE"]),
    ([*RUN, "--model.hf_assets_path=tokenizers/pattern"], ["tokenizers/pattern", "pattern"]),
    ([*LOAD, "missing.safetensors"], ["missing.safetensors"]),
    ([*LOAD, "good.safetensors"], ["good.safetensors", "tok_embeddings.weight"]),
    ([*LOAD, "huge.safetensors"], ["huge.safetensors"]),
    ([*RUN, "--metrics.jsonl=good.jsonl/m.jsonl"], ["good.jsonl"]),
    ([*RUN, "--debug.dump_parameters=good.jsonl/p.safetensors"], ["good.jsonl"]),
    (["titan-data", "build", "--output", "out.tokens", "cut.jsonl"], ["cut.jsonl:41"]),
    (["titan-data", "build", "--output", "good.jsonl/out.tokens", "good.jsonl"], ["good.jsonl"]),
]
# A sound file, how to read it, and how many processes to spend on damaged copies.
DAMAGE = [
    ("job.toml", [*COMPILE, "FILE"], 20),
    ("model.tbin", ["titan-run", "FILE", "--dump-program"], 20),
    ("good.jsonl", [*DATA, "FILE"], 10),
    ("good.json.gz", [*DATA, "FILE"], 20),
    ("good.safetensors", [*DATA, "FILE"], 20),
    ("good.tokens", [*DATA, "FILE"], 20),
    ("tokenizer.json", [*RUN, "--model.hf_assets_path", "FILE"], 10),
]

failures = []


def run(command):
    """Exit code and standard error; a hang is exit code None."""
    try:
        done = subprocess.run(command, cwd=WORK, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stderr.decode(errors="replace")


def fail(command, code, errors, reason):
    failures.append(f"{' '.join(command)}: {reason}, exit code {code}\n{errors[-3000:]}")


def check(command, codes, parts=()):
    code, errors = run(command)
    if code not in codes:
        return fail(command, code, errors, f"expected exit code {codes}")
    if "Sanitizer" in errors or "runtime error:" in errors:
        return fail(command, code, errors, "a sanitizer's report")
    if code == 0:
        return None
    error = errors.rstrip("\n").split("\n")[-1]
    if " - error - " not in error:
        return fail(command, code, errors, "the last line is no error")
    for part in parts:
        if part not in error:
            return fail(command, code, errors, f"'{part}' is not in the error")
    return None


def damage(name, command, count, seed):
    """Copies of a file with a few bytes changed or its end cut off."""
    generator = random.Random(f"{name} {seed}")
    good = read(name)
    for i in range(count):
        bad = bytearray(good)
        if i % 4 == 0:
            bad = bad[: generator.randrange(len(bad))]
        else:
            for _ in range(1 << generator.randrange(5)):
                # Headers stand at the beginning.
                end = len(bad) if generator.randrange(2) else min(len(bad), 512)
                bad[generator.randrange(end)] = generator.randrange(256)
        copy = f"damaged/{i}.{name}"
        write(copy, bytes(bad))
        check([copy if word == "FILE" else word for word in command], (0, 1))


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    write_inputs()
    check(["titan-compile", "job.toml", "-o", "model.tbin"], (0,))
    check(["titan-data", "build", "--output", "good.tokens", "good.jsonl"], (0,))
    for name in ("good.jsonl", "good.json.gz", "good.safetensors", "good.tokens"):
        check([*DATA, name], (0,))
    check([*RUN, "--model.hf_assets_path", "tokenizer.json"], (0,))
    for arguments, parts in COMPILE_CASES:
        check([*COMPILE, *arguments], (1,), parts)
    for command, parts in RUN_CASES:
        check(command, (1,), parts)
    for seed in range(FIRST, FIRST + SEEDS):
        for name, command, count in DAMAGE:
            damage(name, command, count, seed)
    if failures:
        sys.exit("\n\n".join(failures) + f"\n{len(failures)} failed")
    cases = len(COMPILE_CASES) + len(RUN_CASES)
    print(f"{cases} broken inputs refused, {SEEDS * sum(count for _, _, count in DAMAGE)} damaged files survived")


if __name__ == "__main__":
    main()
