"""Texts: Python strings, and the token ids that a codec makes of them."""

from kerasgen.errors import not_utf8
from kerasgen.files import atomic, read_bytes
from kerasgen.kinds.base import Kind

LARGEST = 2**30  # bytes of a text; all of it is in memory
SHOWN = 8  # texts of a preview
BEGINNING = 500  # characters that a card shows
ARROW = "  ->  "  # between a text and its translation


class Text(Kind):
    """Written as they are; a model's answers stand beside the texts that it reads."""

    names = frozenset(("token_ids", "output_ids", "text", "prompt", "translation"))
    suffixes = (".txt",)
    evaluations = tuple(
        f"kerasgen.metrics.{name}" for name in ("classification", "text", "translation")
    )
    baseline = "single characters, as often as in the training texts,"
    script = 'export const [title, go, count] = ["Continue a text", "Write", 1];\n'

    def read(self, path, shape=()):
        """In UTF-8, perhaps packed by gzip; a mark of byte order is no text."""
        try:
            text = read_bytes(path, LARGEST).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise not_utf8(path, error) from error
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def write(self, path, samples):
        """A line each, or, if some have more lines, with rules between them."""
        rule = "\n---\n" if any("\n" in text for text in samples) else "\n"
        with atomic(path) as temporary:
            temporary.write_text(rule.join(samples) + "\n", encoding="utf-8")

    def printed(self, samples):
        return "\n---\n".join(samples)

    def excerpt(self, path):
        begin = path.read_text(encoding="utf-8").strip()[:BEGINNING]
        return "\n".join(begin.splitlines()[:-1]) or begin

    def prompt(self, path):
        """Of a translator, the first text that it translated."""
        if not path.exists():
            return ""
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        source, arrow, _ = first.partition(ARROW)
        return source if arrow else ""

    def units(self, texts) -> dict[str, int]:
        """What nats are counted by, beside tokens and characters: unit -> number."""
        return {}

    def joined(self, parts, codec=None):
        return [text for part in parts for text in codec.texts(part)]

    def preview(self, model, examples, n):
        """Samples; or lines "source -> translation", or "class probability  text", of
        the first examples."""
        served, n = model.signatures(), min(n, SHOWN)
        if "generate" in served:
            return model.generate(n)
        texts = [*examples[:n]]
        if not isinstance(texts[0], str):
            texts = model.codec.texts(texts)
        ids = model.codec.cutting().ids(texts)
        if "translate_ids" in served:
            found = model.serve("translate_ids", token_ids=ids)["output_ids"]
            pairs = zip(texts, model.codec.texts(found), strict=True)
            return [f"{source}{ARROW}{target}" for source, target in pairs]
        found = model.serve("classify_ids", token_ids=ids)["probabilities"]
        return [
            f"{model.codec.labels[p.argmax()]} {p.max():.2f}  "
            f"{' '.join(text.split())[:100]}"
            for p, text in zip(found, texts, strict=True)
        ]

    def pictures(self, model, examples=None):
        """None without examples, of a model that only reads."""
        reads = "generate" not in model.signatures()
        return {} if reads and examples is None else super().pictures(model, examples)

    def typical(self, model, examples=None):
        """How texts of its own, or the examples, begin."""
        served, codec = model.signatures(), model.codec
        if "generate" in served:
            most = min(8, served["generate"].inputs["max_new_tokens"].limit)
            name, texts = "prompt", model.generate(2, max_new_tokens=most)
        else:
            name, texts = "text", codec.samples(examples)
        return {name: texts, "token_ids": codec.typical(texts)}
