"""Operations that ONNX has, in place of the many that tf2onnx writes for each.

What a loop repeats at each step is mostly small operations, and a runtime takes as long
to begin one as to compute it.
"""

import numpy as np
import onnx
import onnx_ir
from onnx_ir.passes import common
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.pattern import RewriteRuleClassBase, RewriteRuleSet


def shorten(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, of fewer operations."""
    shortening = onnx_ir.passes.Sequential(
        # Runtimes find what is computed twice, if it is of the very same constants.
        common.DeduplicateInitializersPass(),
        RewritePass(RULES),
        common.RemoveUnusedNodesPass(),
    )
    return onnx_ir.to_proto(shortening(onnx_ir.from_proto(proto)).model)


class LayerNormalization(RewriteRuleClassBase):
    """As Keras computes it, with scale s = gamma / sigma: x s + (beta - mu s)."""

    def pattern(self, op, x, axes, axes_again, epsilon, gamma, beta):
        mean = op.ReduceMean(x, axes, keepdims=1)
        rest = op.Sub(x, mean)
        variance = op.ReduceMean(op.Mul(rest, rest), axes_again, keepdims=1)
        scale = op.Mul(op.Reciprocal(op.Sqrt(op.Add(variance, epsilon))), gamma)
        return op.Add(op.Mul(x, scale), op.Add(op.Mul(op.Neg(mean), scale), beta))

    def check(self, context, axes, axes_again, epsilon, gamma, beta, **_):
        last = _known(epsilon) and _is(axes, -1) and _is(axes_again, -1)
        vectors = [
            _known(w) and 1 < w.const_value.size == w.shape[-1] for w in (gamma, beta)
        ]
        return last and all(vectors)

    def rewrite(self, op, x, epsilon, gamma, beta, **_):
        epsilon = epsilon.const_value.numpy().item()
        weights = op.Squeeze(gamma), op.Squeeze(beta)  # Keras has them of x's rank
        return op.LayerNormalization(x, *weights, axis=-1, epsilon=epsilon)


class RMSNormalization(RewriteRuleClassBase):
    """ONNX has it from opset 23 on; ONNX Runtime makes one operation of what it looks
    like in PyTorch's exports: x / sqrt(mean(x^2) + epsilon) * gamma."""

    def pattern(self, op, x, axes, epsilon, gamma):
        return op.Mul(op.Mul(x, self._scale(op, x, axes, epsilon)), gamma)

    def _scale(self, op, x, axes, epsilon):
        square = op.ReduceMean(op.Mul(x, x), axes, keepdims=1)
        return op.Reciprocal(op.Sqrt(op.Add(square, epsilon)))

    def rewrite(self, op, x, axes, epsilon, gamma):
        square = op.Pow(x, op.Constant(value_float=2.0))
        square = op.ReduceMean(square, axes, keepdims=1)
        return op.Mul(op.Div(x, op.Sqrt(op.Add(square, epsilon))), gamma)


class RMSNormalizationScaledFirst(RMSNormalization):
    """As TensorFlow's optimizer may order it: x times what is left."""

    def pattern(self, op, x, axes, epsilon, gamma):
        return op.Mul(x, op.Mul(self._scale(op, x, axes, epsilon), gamma))


class Where(RewriteRuleClassBase):
    """condition * a + (not condition) * b."""

    def pattern(self, op, condition, a, b):
        return op.Add(
            op.Mul(op.Cast(condition), a), op.Mul(op.Cast(op.Not(condition)), b)
        )

    def rewrite(self, op, condition, a, b):
        return op.Where(condition, a, b)


class Gather(RewriteRuleClassBase):
    """Negative places count from the end anyway."""

    def pattern(self, op, x, place, zero, size, axis):
        negative = op.Less(op.Cast(place), zero)
        place = op.Where(negative, op.Add(place, size), place)
        return op.Gather(x, place, axis=axis)

    def check(self, context, x, zero, size, axis, **_):
        known = x.shape is not None and _is(size, x.shape[axis.as_int()])
        return known and _is(zero, 0)

    def rewrite(self, op, x, place, axis, **_):
        return op.Gather(x, place, axis=axis)


class Clip(RewriteRuleClassBase):
    """ONNX Runtime's Min and Max are slow."""

    def pattern(self, op, x, low, high):
        return op.Max(op.Min(x, high), low)

    def check(self, context, low, high, **_):
        return all(_known(limit) and limit.shape.rank() == 0 for limit in (low, high))

    def rewrite(self, op, x, low, high):
        return op.Clip(x, low, high)


class Everything(RewriteRuleClassBase):
    """A slice of all there is."""

    def pattern(self, op, x, starts, ends, axes, steps):
        return op.Slice(x, starts, ends, axes, steps)

    def check(self, context, starts, ends, steps, **_):
        far = _known(ends) and (ends.const_value.numpy() >= 10**9).all()
        return _is(starts, 0) and far and _is(steps, 1)

    def rewrite(self, op, x, **_):
        return op.Identity(x)


def _known(value) -> bool:
    return value.const_value is not None


def _is(value, number) -> bool:
    """Whether all that is in a constant is this number."""
    return _known(value) and np.all(value.const_value.numpy() == number)


RULES = RewriteRuleSet(
    [
        rule.rule()
        for rule in (
            LayerNormalization,
            RMSNormalization,
            RMSNormalizationScaledFirst,
            Where,
            Gather,
            Clip,
            Everything,
        )
    ],
    commute=True,
)
