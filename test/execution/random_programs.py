"""Every pass on random programs: what it makes of them computes the same.

    random_programs.py FIRST LAST WORK_DIR      seeds FIRST to LAST, with the tools on PATH

Programs of odd seeds compute in bfloat16, and every third computes its backward in one piece. For each seed: gradients of the differentiated program against finite differences of the loss, then
a training step of each later program against the one before, in doubles.
"""

import os
import subprocess
import sys

# Each stage from the one before: its name and titan-opt's passes.
STAGES = [
    ("narrow", ["--titan-cast-precision"]),
    ("differentiated", ["--titan-differentiate"]),
    ("step", ["--titan-build-optimizer"]),
    ("simplified", ["--canonicalize", "--cse"]),
    ("split", ["--titan-split-backward"]),
    ("half kept", ["--titan-rematerialize=mode=budget budget=0.5", "--cse"]),
    ("least kept", ["--titan-rematerialize=mode=budget budget=0", "--cse"]),
    ("chunked", ["--titan-chunk-loss=chunks=3", "--cse"]),
    ("kernels", ["--titan-form-kernels"]),
    ("scheduled", ["--titan-schedule-instructions"]),
]
# Finite differences of programs with strong curvature are good to about 1e-7.
GRADIENT_TOLERANCE = "1e-6"
STEP_TOLERANCE = "1e-11"


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")


def check(seed, folder):
    path = lambda name: os.path.join(folder, f"{seed}.{name.replace(' ', '-')}.mlir")
    program = subprocess.run(["titan-check", "--random", str(seed)], capture_output=True, text=True, check=True).stdout
    if seed % 3:
        program = program.replace("module {", 'module attributes {titan.schedule = ["0F0,0I0,0W0"]} {', 1)
    with open(path("graph"), "w") as graph:
        graph.write(program)
    previous = "graph"
    for name, passes in STAGES:
        if name == "narrow" and seed % 2 == 0:
            continue
        run("titan-opt", path(previous), *passes, "-o", path(name))
        compare = ["titan-check", path(previous), path(name), "--seed", str(seed)]
        if name == "narrow":
            run(*compare, "--function", "loss")
        elif name == "differentiated":
            run(*compare, "--gradients", "--tolerance", GRADIENT_TOLERANCE)
        elif name != "step":  # titan-build-optimizer adds to the step; golden.test checks it
            run(*compare, "--step", "--tolerance", STEP_TOLERANCE)
        if name.endswith("kept") or name == "split":  # the same ops on the same values, only elsewhere
            run(*compare, "--step", "--mode", "typed", "--tolerance", "0")
        previous = name


def main():
    first, last, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.makedirs(folder, exist_ok=True)
    for seed in range(first, last + 1):
        check(seed, folder)
    print(f"{last + 1 - first} random programs, {len(STAGES)} passes: all compute the same")


if __name__ == "__main__":
    main()
