"""Every command on graphs of a million vertices: how long it takes, and how much memory at most.

    python benchmarks/large_graphs.py FOLDER [--sizes 524288-524288] [--degree 16] [--only WORD ...]

Each command is a process of its own whose address space is limited (`--limit`, GiB), so that what explodes is refused
by the system with a MemoryError, and nothing else is harmed. FOLDER keeps the files, some 3 GB. Prints for each command
its exit code, seconds of the clock and of the processor, its largest resident memory, and the last line that it said.
"""

import argparse
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

FAMILIES = ("random", "left_regular", "regular")
RADICES = "16,16,16,32"  # five layers of 2^17 vertices each
TEXTS = ("mtx", "mtx.gz", "tsv", "tsv.gz", "edges", "edges.gz")
SEED = 0


def commands(sizes, degree):
    """Yield every command, in an order in which each finds the files that it needs."""
    n_left, n_right = map(int, sizes.split("-"))
    edges = degree * max(n_left, n_right)
    for family in FAMILIES:
        yield f"generate {family} {sizes} --edges {edges} --seed {SEED} -o {family}.npz"
    yield f"generate radix - --systems {RADICES} --multipliers 1,1,1,1,1 -o radix.npz"
    width = n_left // 2  # four layers with as many vertices as the graph
    yield f"generate regular {'-'.join([str(width)] * 4)} --degree {degree} --seed {SEED} -o net.npz"
    for suffix in TEXTS:
        yield f"convert regular.npz -o g.{suffix}"
        yield f"convert g.{suffix} --sizes {sizes} -o again.npz"
    for kind in ("pattern", "spectrum", "density", "network", "adjacency"):
        yield f"plot regular.npz --kind {kind} -o {kind}.png"
    yield "plot net.npz --kind pattern -o pattern-net.png"
    yield "plot random.npz regular.npz --kind spectrum -o spectra.pdf"
    for graph in (*FAMILIES, "radix", "net"):
        yield f"measure {graph}.npz --quick"
    yield "measure regular.npz --time-limit 60"
    yield "measure random.npz --time-limit 60 --json"
    yield "measure net.npz --time-limit 60"
    yield "heat regular.npz"
    yield "heat regular.npz random.npz --json"
    yield "heat net.npz --plot heat.png"
    yield "heat net.npz --plot heat.gif"
    yield f"compare random,left_regular,regular {n_left}-{n_right} {degree} --seeds 1 --processes 1 -o s.csv " + (
        "--measures degrees,spectrum,expansion,sampled --time-limit 30 --resume s.jsonl --pictures pictures"
    )
    yield "report regular.npz -o report.html"
    yield "report net.npz -o report-net.html"


def run(command, folder, limit, timeout):
    """Run one command; return its exit code, seconds of the clock and of the processor, GiB, and its last line."""

    def guarded():
        resource.setrlimit(resource.RLIMIT_AS, (limit << 30, limit << 30))
        os.nice(3)

    with open(folder / "said", "wb") as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "expandergraphs", *shlex.split(command)],
            cwd=folder,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=guarded,
        )
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            time.sleep(0.05)
            if time.perf_counter() - start > timeout:
                os.kill(process.pid, signal.SIGKILL)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    lines = (folder / "said").read_text().splitlines()
    usage = ended[2]
    cpu = usage.ru_utime + usage.ru_stime
    return process.returncode, seconds, cpu, usage.ru_maxrss / 2**20, lines[-1][:110] if lines else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", default="524288-524288")
    parser.add_argument("--degree", type=int, default=16)
    parser.add_argument("--limit", type=int, default=8, help="GiB of address space of each command")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds of each command")
    parser.add_argument("--only", nargs="*", help="only commands that hold one of these words")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for command in commands(options.sizes, options.degree):
        if options.only and not any(word in command for word in options.only):
            continue
        code, seconds, cpu, gib, said = run(command, options.folder, options.limit, options.timeout)
        print(f"{code:4d} {seconds:7.1f} s {cpu:7.1f} s {gib:6.2f} GiB  {command}\n     {said}", flush=True)


if __name__ == "__main__":
    main()
