"""Images: float32 `(n, height, width, channels)` in [0, 1]."""

from kerasgen.kinds.base import Kind


class Image(Kind):
    """Written as a grid; of models that draw none, what they make of examples is."""

    names = frozenset(
        ("images", "small_images", "noisy_images", "reconstructions", "restored")
    )
    suffixes = (".png", ".npy")
    evaluations = tuple(
        f"kerasgen.metrics.{name}"
        for name in (
            "samples",
            "reconstruction",
            "likelihood",
            "bound",
            "restoration",
            "classification",
        )
    )
    baseline = "training images in place of samples"
    comparable = True
    script = """
/** Image i of a tensor (batch, height, width, channels) in [0, 1]. */
export function show(canvas, { dims: [, height, width, channels], data }, i) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const start = i * height * width * channels;
  for (let p = 0; p < height * width; p++) {
    for (let c = 0; c < 3; c++) {
      const value = data[start + p * channels + (channels === 1 ? 0 : c)];
      pixels.data[4 * p + c] = Math.round(255 * value);
    }
    pixels.data[4 * p + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}
"""

    def read(self, path, shape):
        """Upright as its EXIF data says, cropped at the centre, and resized."""
        from kerasgen.pictures import read_image

        return read_image(path, shape) / 255.0

    def write(self, path, samples):
        """A grid of them as PNG, or all of them as .npy."""
        from kerasgen.pictures import write_array, write_image

        if path.suffix == ".npy":
            write_array(path, samples)
        else:
            write_image(path, self.picture(samples))

    def write_one(self, path, sample):
        """In its own size; a grid would enlarge what is small."""
        from kerasgen.pictures import write_array, write_image

        if path.suffix == ".npy":
            write_array(path, sample[None])
        else:
            write_image(path, sample)

    def picture(self, samples):
        from kerasgen.pictures import grid

        return grid(samples)

    def preview(self, model, examples, n):
        """Samples; or rows of originals, each above its reconstructions; or examples as
        a classifier sorts them."""
        served = model.signatures()
        if "generate" in served:
            return super().preview(model, examples, n)
        show = reconstructed if "reconstruct" in served else classified
        return show(model, examples, n)

    def pictures(self, model, examples=None):
        served, found = model.signatures(), {}
        if "generate" in served:
            found["samples"] = self.preview(model, examples, 64)
        if hasattr(model, "interpolate"):
            found["interpolation"] = model.interpolate(0, 1, 8)
        if examples is None:
            return found
        if "reconstruct" in served:
            title = "reconstructions" if "generate" in served else "samples"
            found[title] = reconstructed(model, examples, 64)
        if "classify" in served:
            found["sorted"] = classified(model, examples, 64)
        if hasattr(model, "traverse"):
            found["traversal"] = model.traverse(examples[:1])
        if "inpaint" in served:
            found |= restorations(model, examples)
        return found


def reconstructed(model, examples, n: int):
    """`(n, …)`, for a grid: rows of originals, each above its reconstructions."""
    from kerasgen.pictures import in_turn

    images = examples[: n // 2]
    return in_turn(images, model.serve("reconstruct", images=images)["reconstructions"])


def classified(model, examples, n: int):
    """The first n, sorted by their predicted class, the surest first."""
    import numpy as np

    images = np.asarray(examples[:n])
    found = model.serve("classify", images=images)["probabilities"]
    return images[np.lexsort((-found.max(axis=1), found.argmax(axis=1)))]


def restorations(model, examples):
    """Title -> `(24, …)`: 8 examples, what is left of them, and what is restored."""
    import numpy as np

    from kerasgen.diffusion.damage import DAMAGES
    from kerasgen.random import row_seeds

    images, found = np.asarray(examples[:8], "float32"), {}
    for name, damage in DAMAGES.items():
        inputs = damage(model, images)
        left = next(iter(inputs.values()))
        for axis in (1, 2):
            left = left.repeat(images.shape[axis] // left.shape[axis], axis)
        seeds = row_seeds(0, len(images))
        restored = model.serve(name, **inputs, seed=seeds)["restored"]
        found[name] = np.concatenate([images, left, restored])
    return found
