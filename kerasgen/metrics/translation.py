"""How near translations are to those of people."""

from kerasgen.extras import need

SIGNATURE = "translate_ids"
FIGURES = ("sacrebleu", "chrf", "bleu_tokenized")
VALUES = ("language",)
IGNORED = ()


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`sacrebleu` and `chrf`, of texts as they are, and `bleu_tokenized`: BLEU-4 of
    small letters in Moses's tokens, as papers on Multi30k print it."""
    need("text")
    from sacrebleu.metrics import BLEU, CHRF

    from kerasgen.codec import translations

    size, language = recipe.evaluate.batch_size, recipe.evaluate.language
    codec = model.codec.cutting()
    found = translations(serve, codec, split.x, size, progress)
    wanted = list(split.y)
    search = f"beam {model.beam}, length penalty {model.length_penalty:g}; "
    figures = {}
    for name, metric in (("sacrebleu", BLEU()), ("chrf", CHRF())):
        score = metric.corpus_score(found, [wanted]).score
        figures[name] = (score, "", len(found), search + str(metric.get_signature()))
    metric = BLEU(tokenize="none", force=True)  # it would warn of tokens
    words = [tokenized(texts, language) for texts in (found, wanted)]
    score = metric.corpus_score(words[0], [words[1]]).score
    about = f"{search}lower case, sacremoses {language}; {metric.get_signature()}"
    return figures | {"bleu_tokenized": (score, "", len(found), about)}


def tokenized(texts, language: str) -> list[str]:
    """Texts in small letters as Moses's tokens, with spaces between them."""
    from sacremoses import MosesTokenizer

    tokenizer = MosesTokenizer(lang=language)
    options = {"escape": False, "return_str": True}
    return [tokenizer.tokenize(text.lower(), **options) for text in texts]
