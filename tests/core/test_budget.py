import pytest
from hypothesis import given
from hypothesis import strategies as st

from expandergraphs import GenerationError, LayerShape, spread

shapes = st.lists(st.builds(LayerShape, st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=8)


@given(shapes, st.floats(0, 1))
def test_totals_are_exact_and_shares_fair(layers, density):
    counts = spread(layers, density=density)
    total = round(density * sum(layer.n_pairs for layer in layers))
    assert sum(counts) == total
    for count, layer in zip(counts, layers, strict=True):
        assert 0 <= count <= layer.n_pairs
        assert abs(count - total * layer.n_pairs / sum(shape.n_pairs for shape in layers)) < 1
    assert spread(layers, n_edges=total) == counts


@given(shapes, st.integers(0, 600))
def test_degrees_are_clipped(layers, degree):
    left, largest = spread(layers, degree=degree), spread(layers, degree=degree, count="max")
    for a, b, layer in zip(left, largest, layers, strict=True):
        assert a == layer.n_left * min(degree, layer.n_right)
        assert b == max(layer.n_left, layer.n_right) * min(degree, layer.n_left, layer.n_right)


def test_ties_go_to_the_first():
    assert spread([LayerShape(3, 3)] * 3, n_edges=5) == (2, 2, 1)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"n_edges": 101}, "n_edges = 101 exceeds the 100 pairs"),
        ({}, "exactly one of density, degree, n_edges; got none"),
        ({"density": 0.1, "degree": 2}, "got density, degree"),
        ({"density": 2}, "density must be a number between 0 and 1"),
        ({"degree": -1}, "degree must be an integer"),
        ({"degree": 1, "count": "mode"}, "count must be 'left' or 'max'"),
        ({"density": 0.5, "budget": "fair"}, "budget must be one of uniform, got 'fair'"),
    ],
)
def test_bad_input_is_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        spread([LayerShape(10, 10)], **request_)
    for layers, wrong in (([(2.5, 4)], "n_left"), ([(-3, 4)], "n_left"), ([5], "a layer"), (5, "layers")):
        with pytest.raises(ValueError, match=f"{wrong} must be"):
            spread(layers, density=0.5)
    with pytest.raises(GenerationError):
        spread([LayerShape(10, 10)], n_edges=101)
