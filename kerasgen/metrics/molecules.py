"""How good samples of a language model of SMILES are, as molecules."""

import numpy as np

from kerasgen.rows import generate_inputs, in_parts

SIGNATURE = "generate"
FIGURES = ("validity", "uniqueness", "novelty")
VALUES = ("seed", "samples")
IGNORED = ()


def parsed(text: str):
    """The `rdkit.Chem.Mol` that a SMILES says, or None if it is no molecule."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():  # of why it is none
        return Chem.MolFromSmiles(text) if text else None


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`validity`, `uniqueness` and `novelty` (Polykovskiy et al., 2020, section 3.2).

    Of the samples, the share that are molecules; of those, of different ones; and of
    those, of ones that the training set has not.
    """
    if not recipe.evaluate.molecules:
        return {}
    from rdkit import Chem

    def canonical(text: str) -> str | None:
        molecule = parsed(text)
        return None if molecule is None else Chem.MolToSmiles(molecule)

    n = recipe.evaluate.samples
    inputs = model.signatures()[SIGNATURE].describe()["inputs"]
    given = {"token_ids": model.codec.ids([""])}
    rows = generate_inputs(inputs, n, recipe.evaluate.seed, given)
    parts = in_parts(serve, SIGNATURE, rows, progress)
    texts = [t for part in parts for t in model.codec.texts(part["output_ids"])]
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
