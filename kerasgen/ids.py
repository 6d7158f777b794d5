"""Rows of token ids, as users and clients send them."""

from keras import ops

from kerasgen.errors import InputError, not_utf8
from kerasgen.inputs import at_least_one
from kerasgen.tokenizers import END, PAD


def tidy(token_ids, longest: int, starts: bool, keep_last: bool = False):
    """The tokens of each row, from the first column on, and 0 after them.

    Padding may stand anywhere, before a row too: TensorFlow Serving fills the rows of
    shorter requests up with the first number of each request. So a row that begins with
    0, or with the token 1 that begins texts, is filled up with what stands for nothing.

    Args:
        token_ids: int32 `(batch, T)`.
        longest: rows are cut off there.
        starts: whether rows begin with token 1; then it is padding at their end only,
            otherwise everywhere.
        keep_last: of longer rows keep the end, not the beginning.
    Returns:
        int32 `(batch, min(T, longest))`, at least one column.
    """
    token_ids = at_least_one(token_ids)
    length = ops.shape(token_ids)[1]
    real = _whole(token_ids > END)
    if starts:
        some = _whole(token_ids != PAD)
        after = ops.sum(real, axis=1, keepdims=True) - ops.cumsum(real, axis=1)
        first = ops.cumsum(some, axis=1) == 1
        inner = ops.logical_or(first, after > 0)
        real = ops.maximum(real, some * _whole(inner))
    columns = ops.arange(length)[None]
    order = ops.argsort(columns + length * (1 - real), axis=1)
    count = ops.sum(real, axis=1, keepdims=True)
    place = columns[:, :longest]
    if keep_last:
        order = ops.take_along_axis(
            order, place + ops.maximum(count - longest, 0), axis=1
        )
    kept = ops.take_along_axis(token_ids, order[:, :longest], axis=1)
    return ops.where(place < count, kept, PAD)


def _whole(x):
    return ops.cast(x, "int32")


def check_texts(x, size: int, what: str = "texts") -> None:
    """Raise `InputError` unless an array holds texts, or rows of token ids.

    Args:
        x: strings `(n,)`, as objects, or ids `(n, T)` in [0, size).
        size: of the vocabulary.
        what: what x is, for the error.
    """
    if x.dtype.kind in "OSU":
        if x.ndim != 1 or not all(isinstance(text, (str, bytes)) for text in x):
            raise InputError(f"{what} must be strings, or rows of token ids")
        try:
            for text in x:
                isinstance(text, str) and text.encode()
        except UnicodeEncodeError as error:
            raise not_utf8("a text", error) from error
        return
    if x.ndim != 2 or x.dtype.kind not in "iu":
        raise InputError(
            f"{what} must be strings (n,) or whole numbers (n, length), not "
            f"{x.dtype} {x.shape}"
        )
    if x.size and (x.min() < 0 or x.max() >= size):
        wrong = x.min() if x.min() < 0 else x.max()
        raise InputError(f"token {wrong} is none of the model's, 0 to {size - 1}")
