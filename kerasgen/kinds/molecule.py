"""Molecules, as SMILES."""

from kerasgen.extras import need
from kerasgen.kinds.text import Text


class Molecule(Text):
    """A text a molecule; what can be read as one is drawn."""

    key = "molecules"
    evaluations = (*Text.evaluations, "kerasgen.metrics.molecules")
    packages = {"smiles-drawer@2.4.1": ("smiles-drawer.min.mjs",)}
    script = """
import Smiles from "../lib/smiles-drawer.min.mjs";

export const [title, go, count] = ["Draw molecules", "Draw", 6];

/** Structural formulas of SMILES; what is no molecule says so. */
export function show(place, texts) {
  const drawer = new Smiles.SvgDrawer({ width: 240, height: 180, padding: 12 });
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  place.replaceChildren(...texts.map((text) => {
    let drawn = document.createElement("p");
    drawn.textContent = "not a molecule";
    const image = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    Smiles.parse(text, (tree) => { drawer.draw(tree, image, theme); drawn = image; },
      () => {});
    const figure = document.createElement("figure");
    figure.title = text;
    figure.append(drawn);
    return figure;
  }));
}
"""

    def picture(self, samples):
        """Structural formulas of those that are molecules; white where none is."""
        need("molecules")
        import numpy as np
        from rdkit.Chem import Draw, Mol

        found = [molecule for molecule in map(parsed, samples) if molecule]
        drawn = Draw.MolsToGridImage(found or [Mol()], molsPerRow=3)
        return np.asarray(drawn.convert("RGB"))


def parsed(text: str):
    """The `rdkit.Chem.Mol` that a SMILES says, or None if it is no molecule."""
    need("molecules")
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():  # of why it is none
        return Chem.MolFromSmiles(text) if text else None
