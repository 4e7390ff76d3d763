"""Mutation testing: which small faults in a module would no test notice?

A mutant, see `mutants.py`, is compiled from its changed syntax tree in a forked process, which runs the tests that
reach the changed line, quickest first, and stops at the first that fails (killed) or takes several times its usual time
(timed out). Nothing is written to the tree. Tests that start another interpreter see the unchanged module there.

A module's sample is the beginning of a seeded shuffle of all its mutants, so that a larger sample contains the smaller.
Results are kept in the folder STATE, one by one: the same command goes on where it stopped, and prints the table at the
end. `--longest 3` leaves out tests of more than 3 seconds; `--only OTHER` tries what survived in another STATE.

    pip install coverage
    OPENBLAS_NUM_THREADS=1 python benchmarks/mutation.py STATE "expandergraphs/generators/*.py" --sample 15 --seed 0
"""

import argparse
import contextlib
import gc
import glob
import importlib
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import coverage
import hypothesis
import pytest
from mutants import mutants


def forked(work):
    """What `work` returns in a silent process of its own, or minus the signal that ended that."""
    child = os.fork()
    if child == 0:
        os.setsid()
        for stream in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        try:
            os._exit(work())
        finally:
            os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it may have started
    return code


def run(tests, plugin):
    """Run docstrings and tests, apart: together they confuse pytest's imports."""
    for folder in ("expandergraphs", "tests"):
        paths = sorted({test.split("::")[0] for test in tests if test.startswith(folder)})
        options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "--tb=no", "--show-capture=no"]
        if paths and (failed := pytest.main([*options, *paths], plugins=[plugin])):
            return int(failed)
    return 0


class Recorder:
    """Which test reaches which line, and how long it takes."""

    def __init__(self, modules):
        self.coverage, self.seconds = coverage.Coverage(data_file=None, include=modules), {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.coverage.switch_context(item.nodeid)
        start = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - start
        self.coverage.switch_context("")
        return result

    def write(self, tests, file):
        self.coverage.start()
        code = run(tests, self)
        self.coverage.stop()
        data = self.coverage.get_data()
        reach = {os.path.relpath(path): data.contexts_by_lineno(path) for path in data.measured_files()}
        libraries = [
            name
            for name, module in sys.modules.items()
            if "site-packages" in (getattr(module, "__file__", None) or "")
            or name.split(".")[0] in sys.stdlib_module_names
        ]
        file.write_text(json.dumps({"seconds": self.seconds, "reach": reach, "libraries": libraries}))
        return code


class Chosen:
    """Only the given tests, quickest first, each with a limit on its time."""

    def __init__(self, seconds):
        self.seconds = seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self):
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # any failure does, not the simplest
        hypothesis.settings.register_profile("unshrunk", hypothesis.settings.default, phases=phases)
        hypothesis.settings.load_profile("unshrunk")

    def pytest_collection_modifyitems(self, items):
        items[:] = sorted((i for i in items if i.nodeid in self.seconds), key=lambda item: self.seconds[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        start_clock(5 + 5 * self.seconds[item.nodeid])
        return (yield)


def start_clock(limit):
    """End this process after `limit` seconds of its own, or ten times as many on the wall."""
    signal.setitimer(signal.ITIMER_PROF, limit)
    signal.setitimer(signal.ITIMER_REAL, 10 * limit)


def outcome(mutant, record, longest):
    reach = record["reach"].get(mutant.path, {})
    lines = reach if mutant.at_import else map(str, mutant.lines)
    tests = {test for line in lines for test in reach.get(line, ()) if test and record["seconds"][test] <= longest}
    if not tests:
        return "not reached"

    def trial():
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        start_clock(60)
        code, unchanged = mutant.compiled(), importlib.machinery.SourceFileLoader.get_code
        importlib.machinery.SourceFileLoader.get_code = lambda loader, name: (
            code if loader.path == os.path.abspath(mutant.path) else unchanged(loader, name)
        )
        return run(tests, Chosen({test: record["seconds"][test] for test in tests}))

    code = forked(trial)
    named = {0: "survived", 1: "killed", 2: "killed", -signal.SIGPROF: "timed out", -signal.SIGALRM: "timed out"}
    return named.get(code, f"ended {code}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--tests", nargs="+", default=["tests/core/test_*.py"])
    parser.add_argument("--sample", type=int, default=15, help="mutants a module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=float("inf"), help="seconds of a test")
    parser.add_argument("--only", type=Path, help="take the survivors of this state")
    options = parser.parse_args()
    modules = [path for pattern in options.modules for path in sorted(glob.glob(pattern))]
    options.state.mkdir(parents=True, exist_ok=True)

    reached = options.state / "reached.json"
    if not reached.exists():
        tests = ["expandergraphs", *(path for pattern in options.tests for path in sorted(glob.glob(pattern)))]
        if forked(lambda: Recorder(modules).write(tests, reached)):
            reached.unlink(missing_ok=True)
            raise SystemExit("the tests fail before anything is changed")
    record = json.loads(reached.read_text())

    for name in record["libraries"]:  # here, so that no forked process needs to
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # pytest collects often, and would go through all of this again
    found = {path: mutants(path) for path in modules}
    for path, of_module in found.items():
        random.Random(f"{options.seed} {path}").shuffle(of_module)
    chosen = [found[path][k] for k in range(options.sample) for path in modules if k < len(found[path])]
    if options.only:
        earlier = dict(map(json.loads, (options.only / "results.jsonl").read_text().splitlines()))
        chosen = [mutant for mutant in chosen if earlier.get(mutant.name, "killed") not in ("killed", "timed out")]
    log = options.state / "results.jsonl"
    results = dict(map(json.loads, log.read_text().splitlines())) if log.exists() else {}
    for mutant in chosen:
        if mutant.name not in results:
            results[mutant.name] = outcome(mutant, record, options.longest)
            with log.open("a") as file:
                file.write(json.dumps([mutant.name, results[mutant.name]]) + "\n")

    print(f"{'module':45}{'mutants':>9}{'tried':>9}{'killed':>9}{'timed out':>11}{'survived':>10}")
    for path in (*modules, "all"):
        of = sum(len(found[module]) for module in modules if path in (module, "all"))
        counts = Counter(results[mutant.name] for mutant in chosen if path in (mutant.path, "all"))
        left = counts.total() - counts["killed"] - counts["timed out"]
        print(f"{path:45}{of:9}{counts.total():9}{counts['killed']:9}{counts['timed out']:11}{left:10}")
    for mutant in sorted(chosen, key=lambda mutant: (mutant.path, mutant.lines.start)):
        if results[mutant.name] not in ("killed", "timed out"):
            print(f"{results[mutant.name]:12} {mutant.name}")


if __name__ == "__main__":
    main()
