"""Random programs with random shardings on random meshes: the program of one device, on all ranks, computes
the same training step as the program without a mesh.

    sharding_fuzz.py FIRST LAST WORK_DIR [JOBS]            seeds FIRST to LAST, with the tools on PATH
    sharding_fuzz.py --plant FIRST LAST WORK_DIR [JOBS]    can it fail? Errors are planted and have to be seen

Thousands by hand: PATH=build/bin:$PATH python3 test/execution/sharding_fuzz.py 1 4000 /tmp/fuzz 2

A seed makes a program (titan-check --random), a mesh of one to eight ranks with up to three axes, legal
shardings of variables (dimensions and flat storage) and of the batch, and some titan.sharding_constraint
ops. A seed that fails is named with the first stage that changes or refuses the program, and its files
stay in WORK_DIR/SEED.
"""

import concurrent.futures
import os
import random
import re
import shutil
import subprocess
import sys

OPTIMIZER = "--titan-build-optimizer"
PLAIN = ["--titan-differentiate", OPTIMIZER]
# Each stage from the one before: its name and titan-opt's passes. The first two keep the global shapes.
STAGES = [
    ("sharded", ["--titan-propagate-shardings", "--titan-verify-phase=phase=sharded"]),
    ("step", ["--titan-differentiate", OPTIMIZER, "--titan-propagate-shardings", "--titan-verify-phase=phase=step"]),
    ("local", ["--titan-partition-spmd"]),
    ("simplified", ["--titan-simplify-collectives", "--canonicalize", "--cse"]),
    ("split", ["--titan-split-backward"]),
    ("recomputed", ["--titan-rematerialize=mode=budget budget=0.3", "--cse"]),
    ("chunked", ["--titan-chunk-loss=chunks=3", "--cse"]),
    ("bucketed", ["--titan-bucket-collectives", "--titan-verify-phase=phase=local"]),
    ("kernels", ["--titan-form-kernels", "--titan-schedule-instructions", "--titan-verify-phase=phase=kernels"]),
]
# Ranks add the terms of a sum in another order, in doubles.
TOLERANCE = "1e-9"
MAX_RANKS = 8


class Failure(Exception):
    pass


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        text = [line for line in done.stderr.splitlines() if "error" in line or "deviat" in line] or done.stderr.splitlines()[:3]
        raise Failure(f"{command[0]}: {' | '.join(text)[:600] or done.returncode}")
    return done.stdout


def random_mesh(rng):
    """{axis: degree}: up to MAX_RANKS ranks, sometimes one."""
    mesh, ranks = {}, 1
    for name in rng.sample(["a", "b", "c"], rng.choice([1, 2, 2, 3])):
        degree = rng.choice([1, 2, 2, 2, 3, 3, 4, 5, 8])
        if ranks * degree <= MAX_RANKS:
            mesh[name] = degree
            ranks *= degree
    return mesh or {"a": 2}


def shape_of(type_text):
    """[4, 6] of "4x6xf32"."""
    return [int(size) for size in type_text.split("x")[:-1]]


def random_sharding(rng, mesh, shape, granule=0):
    """A legal sharding's text, inside of <>: dimensions divide; flat storage, if there is a granule, is padded."""
    axes = [axis for axis in mesh if mesh[axis] > 1 and rng.random() < 0.6]
    rng.shuffle(axes)
    dimensions, rest, stored = [[] for _ in shape], list(shape), []
    for axis in axes:
        choices = [d for d, size in enumerate(rest) if size % mesh[axis] == 0]
        if granule and rng.random() < 0.4:
            stored.append(axis)
        elif choices:
            dimension = rng.choice(choices)
            dimensions[dimension].append(axis)
            rest[dimension] //= mesh[axis]
    text = "[" + ", ".join("{" + ", ".join(each) + "}" for each in dimensions) + "]"
    if stored:
        text += ", flat {" + ", ".join(stored) + f"}} granule {granule}"
    return text


def shard(program, seed):
    """The program with a mesh, shardings of variables and inputs, and constraints."""
    rng = random.Random(seed)
    # A program's storage is cut at multiples of one granule.
    mesh, granule = random_mesh(rng), rng.choice([1, 4])
    lines, renamed = [], {}
    for line in program.splitlines():
        for old, new in renamed.items():
            line = re.sub(re.escape(old) + r"(?!\w)", new, line)
        variable = re.match(r"(  titan\.variable (\w+) @\S+ : tensor<)((?:\d+x)*f32)(> .*)", line)
        result = re.match(r"    (%\w+)(?:, %\w+)? = titan\.(\w+) .*tensor<((?:\d+x)+f32)>(?:, tensor<\S+>)?$", line)
        if variable:
            begin, _, shape, end = variable.groups()
            sharding = random_sharding(rng, mesh, shape_of(shape), granule)
            line = f"{begin}{shape}, #titan.sharding<{sharding}>{end}"
        elif line.startswith("  func.func"):
            line = re.sub(r"(tensor<)([\dx]+xi32)(> \{)", lambda match: match[1] + match[2] + match[3] +
                          f"titan.sharding = #titan.sharding<{random_sharding(rng, mesh, shape_of(match[2]))}>, ", line)
        lines.append(line)
        if result and rng.random() < 0.15:
            value, op, _ = result.groups()
            kind = re.search(r"-> \(?tensor<((?:\d+x)+f32)>", line) or re.search(r": tensor<((?:\d+x)+f32)>", line)
            name = f"%constrained{len(renamed)}"
            sharding = random_sharding(rng, mesh, shape_of(kind[1]))
            lines.append(f"    {name} = titan.sharding_constraint {value} to <{sharding}> : tensor<{kind[1]}>")
            renamed[value] = name
    axes = ", ".join(f"{axis} = {degree}" for axis, degree in mesh.items())
    if seed % 3:  # the others compute their backward in one piece
        lines[0] = lines[0].replace("module {", 'module attributes {titan.schedule = ["0F0,0I0,0W0"]} {')
    return "\n".join([lines[0], f"  titan.mesh @mesh [{axes}]", *lines[1:]]) + "\n"


def add_accumulators(path, name):
    """plain.mlir with what only a program whose loss is partial stores: the sums before they are reduced."""
    with open(path("plain")) as plain, open(path(name)) as other:
        text, names = plain.read(), set(re.findall(r"@(accumulated\.\w+) :", other.read()))
    for accumulator in names:
        total = accumulator.removeprefix("accumulated.")
        text = re.sub(rf"( *titan\.variable )\w+ @{total} (.*\n)", rf"\g<0>\1counter @{accumulator} \2", text)
        text = re.sub(rf"( *titan\.store %\w+, )@{total} (.*\n)", rf"\g<0>\1@{accumulator} \2", text)
    with open(path("plain." + name), "w") as file:
        file.write(text)
    return path("plain." + name)


def write_programs(seed, path):
    """graph.mlir, the same sharded as annotated.mlir, and the step without a mesh as plain.mlir."""
    program = run("titan-check", "--random", str(seed))
    for name, text in (("graph", program), ("annotated", shard(program, seed))):
        with open(path(name), "w") as file:
            file.write(text)
    run("titan-opt", path("graph"), *PLAIN, "-o", path("plain"))


def check(seed, path):
    """All stages at once against the program without a mesh; then, if that fails, one by one."""
    write_programs(seed, path)
    compare = lambda name: run("titan-check", add_accumulators(path, name), path(name), "--step", "--seed", str(seed),
                               "--tolerance", TOLERANCE)
    try:
        run("titan-opt", path("annotated"), *[option for _, passes in STAGES for option in passes], "-o",
            path("kernels"))
        compare("kernels")
        return
    except Failure as failure:
        whole = failure
    previous = "annotated"
    for name, passes in STAGES:
        try:
            run("titan-opt", path(previous), *passes, "-o", path(name))
            if name == "sharded":
                run("titan-check", path("graph"), path(name), "--function", "loss", "--tolerance", TOLERANCE)
            else:
                compare(name)
        except Failure as failure:
            raise Failure(f"{name}: {failure}") from None
        previous = name
    raise Failure(f"all stages at once: {whole}")


def replacement(line):
    """The line of a collective on one operand with an error in it that keeps the types, or None: parts are not
    added up, not exchanged, or added up although they are the same."""
    match = re.match(r"( *%\w+ = )titan\.(\w+) (?:sum )?(%\w+) over (\[[^\]]*\])(?: dimension (\d+))? : \(?(\S+?)\)?"
                     r" -> (\S+)$", line)
    if not match or not match[7].endswith("f32>"):
        return None
    begin, op, value, axes, dimension, before, after = match.groups()
    if op == "all_reduce":
        return f"{begin}titan.reshape {value} : {before} -> {after}"
    if op == "reduce_scatter":
        return f"{begin}titan.axis_slice {value} over {axes} dimension {dimension} : {before} -> {after}"
    if op == "axis_slice":
        return f"{begin}titan.reduce_scatter {value} over {axes} dimension {dimension} : ({before}) -> {after}"
    if op == "all_gather":  # Parts in wrong places would not do: a rank may need no more than its own.
        return f"{begin}titan.full 3.000000e-01 : {after}"
    return None


def plant(seed, path):
    """The errors of one program that nobody notices, and how many were planted: up to eight."""
    write_programs(seed, path)
    run("titan-opt", path("annotated"), *[option for _, passes in STAGES[:7] for option in passes], "-o", path("chunked"))
    with open(path("chunked")) as file:
        lines = file.read().split("\n")
    if not any("titan.variable" in line and " global " in line for line in lines):
        return [], 0  # One rank.
    places = [number for number, line in enumerate(lines) if replacement(line)]
    places = sorted(random.Random(seed).sample(places, min(8, len(places))))
    plain, unseen = add_accumulators(path, "chunked"), []
    for place in places:
        with open(path("planted"), "w") as file:
            file.write("\n".join([*lines[:place], replacement(lines[place]), *lines[place + 1:]]))
        try:
            run("titan-check", plain, path("planted"), "--step", "--seed", str(seed), "--tolerance", TOLERANCE)
            unseen.append(f"seed {seed}, line {place + 1}: {lines[place].strip()}")
        except Failure as failure:
            if not re.search("deviates by|hold different values", str(failure)):
                raise Failure(f"line {place + 1}: {failure}") from None
    return unseen, len(places)


def attempt(seed, work, examine):
    """(what examine says of a seed, None) or (None, how that failed)"""
    folder = os.path.join(work, str(seed))
    os.makedirs(folder, exist_ok=True)
    try:
        result = examine(seed, lambda name: os.path.join(folder, name + ".mlir"))
    except (Failure, subprocess.TimeoutExpired) as failure:
        return None, f"seed {seed}: {failure}"
    shutil.rmtree(folder)
    return result, None


def main():
    planting = sys.argv[1:2] == ["--plant"]
    arguments = sys.argv[2 if planting else 1:]
    first, last, work = int(arguments[0]), int(arguments[1]), arguments[2]
    jobs = int(arguments[3]) if len(arguments) > 3 else 1
    seeds = range(first, last + 1)
    failed, unseen, planted = 0, 0, 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for result, failure in pool.map(lambda seed: attempt(seed, work, plant if planting else check), seeds):
            if failure:
                failed += 1
                print(failure, flush=True)
            elif planting:
                unseen += len(result[0])
                planted += result[1]
                for line in result[0]:
                    print("not seen:", line, flush=True)
    if failed:
        sys.exit(f"{failed} of {len(seeds)} seeds failed")
    if not planting:
        print(f"{len(seeds)} random programs on random meshes compute the same as without")
        return
    print(f"{planted - unseen} of {planted} planted errors are seen")
    # The rest sits where a random program happens to have only zeros.
    if planted < len(seeds) or unseen > 0.03 * planted:
        sys.exit("too few")


if __name__ == "__main__":
    main()
