"""A user's program, for the type checker alone: mypy reads it in `make lint`."""

from pathlib import Path

import numpy as np

import kerasgen
from kerasgen import Phase, Signature, served


def draw(name: str, n: int) -> np.ndarray:
    model: kerasgen.Model = kerasgen.load(name)
    if not isinstance(model, kerasgen.GenerativeModel):
        raise kerasgen.InputError(f"{name} doesn't generate")
    return model.generate(n, seed=1)


def train(images: np.ndarray, folder: Path) -> dict[str, Signature]:
    vae = kerasgen.VAE((8, 8, 1), latent_dim=2, likelihood="bernoulli")
    vae.compile("adam", seed=1)
    vae.fit(images, epochs=2)
    vae.export(folder)
    rows: list[dict] = kerasgen.verify(folder)
    vae.save_to_preset(folder / "preset", labels=["a", "b"])
    vae = kerasgen.VAE.from_preset(folder / "preset")
    assert rows and vae.steps_taken > 0
    return vae.signatures()


class Mine(kerasgen.Model):
    def phases(self) -> list[Phase]:
        return [Phase("mine", [self], self.losses, ["loss"])]

    def losses(self, batch, noise, training):
        return {"loss": batch["x"]}

    @served({}, ["y"])
    def y(self, x):
        return x


names: list[str] = [row["name"] for row in kerasgen.list_recipes()]
