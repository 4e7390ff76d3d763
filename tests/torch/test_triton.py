"""The Triton kernels: on a CPU in Triton's interpreter, compiled without a GPU, and where there is a GPU, on it.

Whether Triton interprets is decided when it is imported, which torch may have done in this process. So another process
does it: this file, run as a program.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import expandergraphs_torch

ROOT = Path(expandergraphs_torch.__file__).parents[1]
ROUNDING = {torch.float64: 1e-14, torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
MASKS = {
    "random": torch.rand(13, 9, generator=torch.Generator().manual_seed(0)) < 0.3,
    "empty rows and columns": torch.zeros(7, 6, dtype=torch.bool).index_put(
        (torch.tensor([1, 1, 5, 5, 5, 5]), torch.tensor([0, 4, 0, 1, 2, 4])), torch.tensor(True)
    ),
    "constant fan-in": torch.eye(8).roll(1, 1).add(torch.eye(8)).add(torch.eye(8).roll(-2, 1)).bool().repeat(2, 1),
    "full": torch.ones(3, 5, dtype=torch.bool),
    "one row": torch.tensor([[True, False, True]]),
    "no places": torch.zeros(3, 2, dtype=torch.bool),
    "no rows": torch.zeros(0, 2, dtype=torch.bool),
}


def environment(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRITON")}
    return kept | {"PYTHONPATH": str(ROOT)} | variables


@pytest.fixture(scope="module")
def interpreter():
    """Call a function of the module in the process that interprets."""
    command, pipe = [sys.executable, "-W", "error", __file__], subprocess.PIPE
    process = subprocess.Popen(command, env=environment(TRITON_INTERPRET="1"), stdin=pipe, stdout=pipe)

    def call(name, *arguments, **named):
        pickle.dump((name, arguments, named), process.stdin)
        process.stdin.flush()
        result = pickle.load(process.stdout)
        if isinstance(result, Exception):
            raise result
        return result

    yield call
    process.communicate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def gpu():
    """Call a function of the module with tensors on the GPU."""
    from expandergraphs_torch.sparse import triton_kernels

    def moved(value):
        return value.cuda() if isinstance(value, torch.Tensor) else value

    def call(name, *arguments, **named):
        named = {key: moved(value) for key, value in named.items()}
        return getattr(triton_kernels, name)(*map(moved, arguments), **named).cpu()

    return call


@pytest.fixture(params=["interpreter", pytest.param("gpu", marks=pytest.mark.gpu)])
def kernel(request):
    return request.getfixturevalue(request.param)


def patterns(mask):
    """Return what the kernels are told of a mask, of its transpose, and where the transpose's values are."""
    rows, columns = mask.nonzero(as_tuple=True)
    _, rows_t = mask.T.nonzero(as_tuple=True)
    number = torch.zeros(mask.shape, dtype=torch.int32)
    number[mask] = torch.arange(len(rows), dtype=torch.int32)
    pointers, pointers_t = (torch.tensor([0, *m.sum(1).cumsum(0)], dtype=torch.int32) for m in (mask, mask.T))
    return (pointers, columns.int()), (pointers_t, rows_t.int()), number.T[mask.T]


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def assert_equal(found, expected, dtype):
    """Allow for rounding to the type, but not for sums in a type narrower than float32."""
    assert found.dtype == dtype
    assert found.shape == expected.shape
    scale = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(found.double(), expected, rtol=ROUNDING[dtype], atol=min(1e-5, ROUNDING[dtype]) * scale)


def expand(mask, values):
    dense = torch.zeros(mask.shape, dtype=torch.float64)
    dense[mask] = values.double()
    return dense


def fan_ins(mask):
    """Return what can be said of the number of places in a row: nothing, and the number if it is the same in all."""
    degrees = set(mask.sum(1).tolist())
    return [None, *degrees] if len(degrees) == 1 else [None]


CASES = [(name, fan_in) for name, mask in MASKS.items() for fan_in in fan_ins(mask)]


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize(("name", "fan_in"), CASES)
def test_products_with_numbers_are_the_dense_ones(kernel, name, fan_in, dtype):
    mask = MASKS[name]
    n, m = mask.shape
    pattern, transpose, order = patterns(mask)
    values, bias = draw(len(order), dtype=dtype), draw(n, dtype=dtype, seed=2)
    dense = expand(mask, values)
    for k in (0, 1, 5, 70) if dtype == torch.float64 else (70,):
        x, along = draw(m, k, dtype=dtype, seed=3), draw(n, k, dtype=dtype, seed=4)
        y = kernel("spmm", *pattern, values, x, fan_in=fan_in)
        assert_equal(y, dense @ x.double(), dtype)
        y = kernel("spmm", *pattern, values, x, bias=bias, fan_in=fan_in)
        assert_equal(y, dense @ x.double() + bias.double()[:, None], dtype)
        assert_equal(kernel("spmm", *transpose, values, along, order=order), dense.T @ along.double(), dtype)
        assert_equal(kernel("sddmm", *pattern, along, x, fan_in=fan_in), (along.double() @ x.double().T)[mask], dtype)


def test_constant_fan_in_of_the_transpose(kernel):
    mask = MASKS["constant fan-in"]
    _, transpose, order = patterns(mask)
    values, along = draw(len(order)), draw(len(mask), 6)
    found = kernel("spmm", *transpose, values, along, order=order, fan_in=6)
    assert_equal(found, expand(mask, values).T @ along, torch.float64)


@pytest.mark.parametrize(("name", "fan_in"), CASES)
def test_products_with_blocks_are_the_dense_ones(kernel, name, fan_in):
    for k in (0, 1, 70):
        check_blocks(kernel, name, fan_in, k, 16, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("size", [32, 64])
def test_blocks_of_other_sizes_and_types(kernel, size, dtype):
    check_blocks(kernel, "empty rows and columns", None, 40, size, dtype)


@pytest.mark.gpu  # the interpreter multiplies no matrices of bfloat16
@pytest.mark.parametrize("size", [16, 32, 64])
def test_blocks_of_bfloat16(gpu, size):
    check_blocks(gpu, "random", None, 300, size, torch.bfloat16)
    check_blocks(gpu, "constant fan-in", 3, 300, size, torch.bfloat16)


def check_blocks(kernel, name, fan_in, k, size, dtype):
    mask = MASKS[name]
    n, m = mask.shape
    pattern, transpose, order = patterns(mask)
    blocks, bias = draw(len(order), size, size, dtype=dtype), draw(n * size, dtype=dtype, seed=2)
    x, along = draw(k, m * size, dtype=dtype, seed=3), draw(k, n * size, dtype=dtype, seed=4)
    dense = torch.zeros(n, m, size, size, dtype=torch.float64)
    dense[mask] = blocks.double()
    dense = dense.transpose(1, 2).reshape(n * size, m * size)
    y = kernel("block_spmm", *pattern, blocks, x, bias=bias, fan_in=fan_in)
    assert_equal(y, x.double() @ dense.T + bias.double(), dtype)
    back = kernel("block_spmm", *transpose, blocks, along, order=order, transposed=True)
    assert_equal(back, along.double() @ dense, dtype)
    product = (along.double().T @ x.double()).reshape(n, size, m, size).transpose(1, 2)
    assert_equal(kernel("block_sddmm", *pattern, along, x, size, fan_in=fan_in), product[mask], dtype)


def test_sums_are_wider_than_what_is_added(kernel):
    n = 600  # 1 + 256 is 256 in bfloat16
    pattern, ones = (torch.tensor([0, n]), torch.arange(n)), torch.ones(n, 1, dtype=torch.bfloat16)
    assert kernel("spmm", *pattern, ones[:, 0], ones).item() == n
    assert kernel("sddmm", torch.tensor([0, 1]), torch.tensor([0]), ones.T, ones.T).item() == n


def test_values_may_be_of_another_type(kernel):
    mask = MASKS["random"]
    pattern, *_ = patterns(mask)
    values, x = draw(int(mask.sum()), dtype=torch.float32), draw(9, 3, dtype=torch.bfloat16)
    assert_equal(kernel("spmm", *pattern, values, x), expand(mask, values) @ x.double(), torch.bfloat16)


def test_operands_need_not_be_contiguous(kernel):
    mask = MASKS["random"]
    pattern, *_ = patterns(mask)
    values, x, along = draw(2 * int(mask.sum()))[::2], draw(4, 9).T, draw(13, 1).expand(13, 4)
    assert_equal(kernel("spmm", *pattern, values, x), expand(mask, values) @ x, torch.float64)
    assert_equal(kernel("sddmm", *pattern, along, x), (along @ x.T)[mask], torch.float64)
    blocks, x = draw(1, 16, 16, dtype=torch.float32).mT, draw(16, 3, dtype=torch.float32).T
    one = torch.tensor([0, 1]), torch.tensor([0])
    assert_equal(kernel("block_spmm", *one, blocks, x), x.double() @ blocks[0].double().T, torch.float32)


@pytest.mark.gpu
def test_operands_may_have_more_than_2_to_the_31_numbers(gpu):
    last = torch.tensor([0, 1]), torch.tensor([2**15])
    x = torch.zeros(2**15 + 1, 2**16, dtype=torch.bfloat16, device="cuda")
    x[-1] = 1
    assert gpu("spmm", *last, torch.ones(1), x).eq(1).all()
    assert gpu("sddmm", *last, torch.ones(1, 2**16), x).item() == 2**16


PLACES = torch.tensor([0, 1, 3]), torch.tensor([0, 0, 1])
BLOCKS = torch.ones(3, 16, 16)


@pytest.mark.parametrize(
    ("name", "arguments", "named", "message"),
    [
        ("spmm", (torch.ones(3), torch.ones(2, 4)), {"fan_in": 2}, "2 rows of fan_in = 2 have 4 values, not 3"),
        ("spmm", (torch.ones(2), torch.ones(2, 4)), {}, r"values have shape \(2,\), their places \(3,\)"),
        ("spmm", (torch.ones(3), torch.ones(2, 4)), {"bias": torch.ones(3)}, r"bias has shape \(3,\), not \(2,\)"),
        ("sddmm", (torch.ones(3, 4), torch.ones(2, 4)), {}, r"shapes \(3, 4\) and \(2, 4\), not \(2, k\) and \(n, k\)"),
        ("sddmm", (torch.ones(2, 4), torch.ones(2, 5)), {}, r"\(2, 4\) and \(2, 5\)"),
        ("block_spmm", (torch.ones(3, 8, 8), torch.ones(4, 16)), {}, "no kernels for blocks of size 8"),
        ("block_spmm", (BLOCKS.double(), torch.ones(4, 32).double()), {}, "torch.float64 with torch.float64"),
        ("block_spmm", (BLOCKS, torch.ones(4, 32).half()), {}, "torch.float16 with|torch.float32 with torch.float16"),
        ("block_spmm", (BLOCKS[1:], torch.ones(4, 32)), {}, r"3 places for blocks \(2, 16, 16\)"),
        ("block_spmm", (BLOCKS, torch.ones(4, 31)), {}, r"applied to \(4, 31\)"),
        ("block_spmm", (BLOCKS, torch.ones(4, 32)), {"bias": torch.ones(2)}, r"bias has shape \(2,\), not \(32,\)"),
        ("block_sddmm", (torch.ones(4, 32), torch.ones(4, 32), 8), {}, "no kernels for blocks of size 8"),
        ("block_sddmm", (torch.ones(4, 16), torch.ones(4, 32), 16), {}, r"\(4, 16\) and \(4, 32\), for 2 rows"),
        ("block_sddmm", (torch.ones(4, 32), torch.ones(5, 32), 16), {}, r"\(4, 32\) and \(5, 32\)"),
    ],
)
def test_what_does_not_fit_is_refused(interpreter, name, arguments, named, message):
    with pytest.raises(ValueError, match=message):
        interpreter(name, *PLACES, *arguments, **named)


@pytest.mark.parametrize("generation", ["80", "90"])
def test_all_kernels_compile_for_gpus_and_use_them_well(tmp_path, generation):
    command = [sys.executable, "-W", "error", __file__, generation]
    done = subprocess.run(command, env=environment(TRITON_CACHE_DIR=str(tmp_path)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_triton_the_module_says_so_when_called():
    program = """
import sys
sys.modules["triton"] = None
import torch
from expandergraphs_torch.sparse.triton_kernels import block_spmm, spmm
one = torch.ones(1)
for call in (lambda: spmm(one, one, one, one[None]), lambda: block_spmm(one, one, one, one)):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install triton") == 2


def serve():
    """Compute what is asked for, until nothing is."""
    from expandergraphs_torch.sparse import triton_kernels

    while sys.stdin.buffer.peek(1):
        name, arguments, named = pickle.load(sys.stdin.buffer)
        try:
            result = getattr(triton_kernels, name)(*arguments, **named)
        except Exception as error:
            result = error
        pickle.dump(result, sys.stdout.buffer)
        sys.stdout.flush()


def compile_all(generation):
    """Compile what would be launched on a generation of GPUs, and look at the machine code."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from expandergraphs_torch.sparse import triton_kernels as kernels

    target, aligned = GPUTarget("cuda", generation, 32), [["tt.divisibility", 16]]
    compiled = []

    def compile_only(kernel, programs, *arguments, num_warps, num_stages=3, **sizes):
        signature, constants, attributes = {}, {}, {}
        for i, (name, value) in enumerate(zip(kernel.arg_names, (*arguments, *sizes.values()), strict=True)):
            if isinstance(value, torch.Tensor):
                signature[name], attributes[i,] = triton.runtime.jit.mangle_type(value), aligned
            elif name in sizes or value is None or value == 1:
                signature[name], constants[i,] = "constexpr", value
            else:
                signature[name] = "i32"
                attributes |= {} if value % 16 else {(i,): aligned}
        options = {"num_warps": num_warps, "num_stages": num_stages, "enable_fp_fusion": True}
        compiled.append(triton.compile(ASTSource(kernel, signature, constants, attributes), target, options))

    def codes():
        found = [kernel.asm["ptx"] for kernel in compiled]
        compiled.clear()
        return found

    kernels._launch = compile_only
    (pointers, columns), _, order = patterns(torch.ones(4, 4, dtype=torch.bool))
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(4, 128, dtype=dtype)
        kernels.spmm(pointers, columns, x[0, :16], x, order, x[:, 0])
        kernels.spmm(pointers, columns, x[0, :16], x, fan_in=4)
        kernels.sddmm(pointers, columns, x, x)
        assert all("ld.global.v4" in code for code in codes())  # 16 bytes at once

    def with_blocks(size, dtype):
        x, blocks = torch.ones(128, 4 * size, dtype=dtype), torch.ones(16, size, size, dtype=dtype)
        kernels.block_spmm(pointers, columns, blocks, x, order, x[0], transposed=True)
        kernels.block_spmm(pointers, columns, blocks, x, fan_in=4)
        kernels.block_sddmm(pointers, columns, x, x, size)
        assert max(kernel.metadata.shared for kernel in compiled) < 99 * 1024  # bytes: the least a GPU has since 2020
        return codes()

    def on_tensor_cores(code):
        return "mma.sync" in code or "wgmma.mma_async" in code

    assert all(map(on_tensor_cores, with_blocks(16, torch.bfloat16) + with_blocks(64, torch.bfloat16)))
    assert not any(map(on_tensor_cores, with_blocks(16, torch.float32)))
    torch.set_float32_matmul_precision("high")
    assert all(map(on_tensor_cores, with_blocks(64, torch.float32)))


if __name__ == "__main__":
    compile_all(int(sys.argv[1])) if sys.argv[1:] else serve()
