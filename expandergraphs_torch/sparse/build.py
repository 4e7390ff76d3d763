"""The kernels of kernels.c, compiled for this machine when they are first needed, and kept for the next time.

A C compiler (`$CC`, or cc, gcc, clang) is enough. Without one, or where it fails, layers compute by PyTorch's own
operators; `why_not` says why.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("kernels.c")
_ALWAYS = ("-O3", "-ffp-contract=fast", "-shared", "-fPIC")
_FLAGS = (("-march=native", "-fopenmp"), ("-mcpu=native", "-fopenmp"), ("-march=native",), ())  # the first that works
_ARGUMENTS = {"forward": (8, 5), "backward": (10, 6), "one": (6, 2), "inwards": (3, 5), "outwards": (3, 5)}


class Kernels:
    """The functions of the compiled library; their arguments are addresses first, then numbers."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        for name, (n_addresses, n_numbers) in _ARGUMENTS.items():
            for kind in ("float", "double"):
                function = getattr(library, f"{name}_{kind}")
                function.argtypes = [ctypes.c_void_p] * n_addresses + [ctypes.c_int64] * n_numbers
                function.restype = None
                setattr(self, f"{name}_{kind}", function)


@functools.cache
def kernels() -> Kernels | str:
    """Return the compiled kernels, or in words why there are none."""
    found = _kernels()
    if isinstance(found, str):
        logger.warning("sparse layers compute by PyTorch's own operators, which is slower: %s", found)
    return found


def _kernels() -> Kernels | str:
    compiler = next(filter(None, map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")))), None)
    if compiler is None:
        return "no C compiler was found"
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "expandergraphs"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _built(compiler, folder)
    except (OSError, RuntimeError):  # no home, or nothing can be written there
        pass
    try:
        with tempfile.TemporaryDirectory(prefix="expandergraphs") as temporary:
            return _built(compiler, Path(temporary))
    except OSError as error:
        return f"the compiled kernels do not load: {error}"
    except RuntimeError as error:
        return str(error)


def why_not() -> str:
    """Return why there are no compiled kernels; empty where there are."""
    found = kernels()
    return found if isinstance(found, str) else ""


def _built(compiler: str, folder: Path) -> Kernels:
    """Load the library from the folder, where it is compiled unless it is there, in one piece."""
    made_of = (_SOURCE.read_bytes(), compiler, str(os.stat(compiler).st_mtime_ns), _processor())
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    path = folder / f"kernels-{digest}.so"
    if path.exists():
        try:
            return Kernels(path)
        except OSError:  # of another system that shares the folder
            pass
    logger.info("compiling %s by %s, once for this machine", path, compiler)
    handle, name = tempfile.mkstemp(suffix=".so", dir=folder)
    os.close(handle)
    try:
        for flags in _FLAGS:
            done = subprocess.run(
                [compiler, *_ALWAYS, *flags, str(_SOURCE), "-o", name],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            if done.returncode == 0:
                os.replace(name, path)
                return Kernels(path)
        raise RuntimeError(f"{compiler} does not compile the kernels: {done.stderr.strip().splitlines()[-1:]}")
    finally:
        Path(name).unlink(missing_ok=True)


def _processor() -> str:
    """Return what tells processors apart for which machine code differs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"
