import numpy as np
import pytest

from servemath_helpers.tinyllm.transformer import SMALL, TINY, Shape, Transformer

MODEL = Transformer(TINY, seed=3)
#: 4 heads share one key each, and all share one key.
OTHERS = [
    Shape(layers=1, width=16, heads=4, kv_heads=4, head_dim=4, ffn=8, vocabulary=97),
    Shape(layers=3, width=16, heads=4, kv_heads=1, head_dim=4, ffn=8, vocabulary=97),
]


def answer(model, prompt, n, pieces=1):
    """Return n tokens, the prompt given in so many pieces."""
    cache = model.cache(len(prompt) + n)
    for part in np.array_split(np.array(prompt), pieces):
        tokens = model.forward([(cache, part.tolist())])
    given = list(tokens)
    for _ in range(n - 1):
        given += model.forward([(cache, given[-1:])])
    return given


def slowly(model, prompt, n):
    """The same without a cache, each token by the textbook: all of it again, head by head."""
    shape = model.shape
    tokens = list(prompt)

    def normed(x):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)

    def turned(x):
        half = shape.head_dim // 2
        angle = np.arange(len(x))[:, None] * 10_000.0 ** (-np.arange(half) / half)
        even, odd = x[:, 0::2], x[:, 1::2]
        out = np.empty_like(x)
        out[:, 0::2] = even * np.cos(angle) - odd * np.sin(angle)
        out[:, 1::2] = even * np.sin(angle) + odd * np.cos(angle)
        return out

    for _ in range(n):
        x = model.embedding[tokens].astype(float)
        for weights in model.layers:
            h = normed(x)
            seen = []
            for head in range(shape.heads):
                mine = slice(head * shape.head_dim, (head + 1) * shape.head_dim)
                kv = head * shape.kv_heads // shape.heads
                shared = slice(kv * shape.head_dim, (kv + 1) * shape.head_dim)
                scores = turned(h @ weights.query[:, mine]) @ turned(h @ weights.key[:, shared]).T
                scores = np.where(np.tri(len(x)) > 0, scores / shape.head_dim**0.5, -np.inf)
                shares = np.exp(scores - scores.max(1, keepdims=True))
                shares /= shares.sum(1, keepdims=True)
                seen.append(shares @ (h @ weights.value[:, shared]))
            x = x + np.hstack(seen) @ weights.output
            gate = normed(x) @ weights.gate
            x = x + (gate / (1 + np.exp(-gate)) * (normed(x) @ weights.up)) @ weights.down
        tokens.append(int((normed(x[-1:]) @ model.embedding.T).argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("shape", [TINY, *OTHERS], ids=str)
def test_the_cache_changes_nothing_but_the_time(shape):
    model = Transformer(shape, seed=1)
    prompt = [int(t) for t in np.random.default_rng(0).integers(0, shape.vocabulary, 9)]
    expected = slowly(model, prompt, 8)
    assert answer(model, prompt, 8) == expected
    assert answer(model, prompt, 8, pieces=3) == expected
    assert len(set(expected)) > 2, "an answer of one word would prove nothing"


def test_neighbours_do_not_change_an_answer():
    prompts = [[5, 6, 7], [9, 8, 7, 6, 5, 4], [1]]
    caches = [MODEL.cache(20) for _ in prompts]
    tokens = MODEL.forward(list(zip(caches, prompts, strict=True)))
    given = [[token] for token in tokens]
    for _ in range(7):
        tokens = MODEL.forward([(c, g[-1:]) for c, g in zip(caches, given, strict=True)])
        for mine, token in zip(given, tokens, strict=True):
            mine.append(token)
    assert given == [answer(MODEL, prompt, 8) for prompt in prompts]


def test_the_seed_decides():
    prompt = [1, 2, 3]
    assert answer(MODEL, prompt, 9) == answer(Transformer(TINY, seed=3), prompt, 9)
    assert answer(MODEL, prompt, 9) != answer(Transformer(TINY, seed=4), prompt, 9)


@pytest.mark.parametrize("shape", [TINY, *OTHERS], ids=str)
def test_the_weights_are_as_many_as_the_shape_says(shape):
    model = Transformer(shape)
    arrays = [model.embedding, *(array for layer in model.layers for array in layer)]
    assert sum(array.size for array in arrays) == shape.n_weights
    assert sum(array.nbytes for array in arrays) == shape.weight_bytes
    cache = model.cache(10)
    assert cache.keys.nbytes + cache.values.nbytes == 10 * shape.kv_bytes_per_token


def test_its_roofline_is_that_of_the_reference_machine():
    step = SMALL.roofline(10e9, 100e9)
    steps = {batch: step.iteration_s(batch, 256 * batch, 0, 0) for batch in (1, 8)}
    assert steps[1] == pytest.approx(0.0382, abs=5e-5)
    assert [round(b / s, 1) for b, s in steps.items()] == [26.2, 194.6]
    # The prompt alone: 2N operations a token, and attention, at the whole peak.
    assert step.iteration_s(0, 0, 100, 0) == pytest.approx(2 * SMALL.n_weights * 100 / 100e9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layers": 0}, "layers must be a whole number of at least 1"),
        ({"heads": 3}, "heads must be a multiple of 2"),
        ({"head_dim": 5}, "head_dim must be even"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        Shape(**{**vars(TINY), **changed})


def test_what_is_no_shape_is_refused():
    with pytest.raises(ValueError, match="shape must be a Shape"):
        Transformer("tiny")
