"""How good samples of a language model of SMILES are, as molecules."""

import numpy as np

from kerasgen import kinds
from kerasgen.extras import need
from kerasgen.kinds.molecule import parsed

SIGNATURE = "generate"
FIGURES = ("validity", "uniqueness", "novelty")
VALUES = ("seed", "samples")
IGNORED = ()


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`validity`, `uniqueness` and `novelty` (Polykovskiy et al., 2020, section 3.2).

    Of the samples, the share that are molecules; of those, of different ones; and of
    those, of ones that the training set has not.
    """
    need("molecules")
    from rdkit import Chem

    def canonical(text: str) -> str | None:
        molecule = parsed(text)
        return None if molecule is None else Chem.MolToSmiles(molecule)

    n, seed, codec = recipe.evaluate.samples, recipe.evaluate.seed, model.codec
    signatures, given = model.signatures(), {"token_ids": codec.ids([""])}
    described, draw = signatures[SIGNATURE].describe(), kinds.of(signatures).drawn
    texts = draw(serve, described, n, seed, given, codec, progress)
    molecules = [m for m in map(canonical, texts) if m is not None]
    different = set(molecules)
    # Training SMILES are canonical already, if all of a sample of them are.
    few = np.random.default_rng(0).permutation(len(training))[:1000]
    known = set(training.x)
    if any(canonical(training.x[i]) != training.x[i] for i in few):
        known = set(filter(None, map(canonical, progress(training.x, "novelty", None))))
    about = f"of {n} samples"
    share = len(different & known) / max(1, len(different))
    return {
        "validity": (len(molecules) / n, "fraction", n, f"{about}, read by RDKit"),
        "uniqueness": (
            len(different) / max(1, len(molecules)),
            "fraction",
            len(molecules),
            f"different ones, {about}, among the valid",
        ),
        "novelty": (
            1.0 - share,
            "fraction",
            len(different),
            f"not among the {len(known):,} training molecules (MOSES' own figure is "
            "against 1.58 million), among the valid and different",
        ),
    }
