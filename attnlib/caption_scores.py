"""Scores of captions: BLEU, CIDEr-D and, where WordNet is, METEOR.

Every score sees the same tokens, of hypotheses and references alike: those of
`tokenize`. Give references as people wrote them: were rare words replaced by
the unknown word first, the unknown word would match itself.

Pure Python but for sacreBLEU; nothing is downloaded, no Keras backend needed.
"""

import collections
import math
import re

_ORDERS = (1, 2, 3, 4)
_SIGMA = 6.0
_WORD = re.compile(r"[^\W_]+")


def tokenize(caption) -> list[str]:
    """Return a caption's words in lower case, without punctuation.

    A word is a run of letters and digits of any script; all else separates
    words, so that `isn't` is two.

    Args:
        caption: A str, perhaps empty.

    Returns:
        List of str.

    Raises:
        ValueError: `caption` is no str.

    Example:
        >>> tokenize("A man's dog -- it isn't 3 years old.")
        ['a', 'man', 's', 'dog', 'it', 'isn', 't', '3', 'years', 'old']
    """
    if not isinstance(caption, str):
        raise ValueError(f"expected a caption as str. Received: {caption!r}")
    return _WORD.findall(caption.lower())


def _tokenized(hypotheses, references):
    """Return both sides as lists of words, or raise ValueError."""
    for name, value in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise ValueError(f"expected {name} as a list. Received: {value!r}")
    if not hypotheses:
        raise ValueError("expected at least one hypothesis. Received: none")
    if len(hypotheses) != len(references):
        raise ValueError(
            "expected a list of references for each hypothesis. Received: "
            f"{len(hypotheses)} hypotheses, {len(references)} lists"
        )
    ours = [tokenize(hypothesis) for hypothesis in hypotheses]
    theirs = []
    for i, several in enumerate(references):
        if isinstance(several, str) or not isinstance(several, list | tuple):
            raise ValueError(
                "expected a list of references for each hypothesis. "
                f"Received: {several!r}"
            )
        words = [tokenize(reference) for reference in several]
        if not words or not all(words):
            raise ValueError(
                "expected at least one reference for each hypothesis, each "
                f"with at least one word. Received: {several!r} at {i}"
            )
        theirs.append(words)
    return ours, theirs


def bleu(hypotheses, references) -> dict:
    """Compute BLEU-1 to BLEU-4 of a corpus by sacreBLEU.

    BLEU-n is the geometric mean of the precisions of 1- to n-grams, clipped by
    the largest count in any reference, without smoothing. Captioning papers
    report it without the penalty for brevity as well as with it.

    Args:
        hypotheses: List of N str; one may be empty.
        references: List of N lists of str, of one or more references each.

    Returns:
        Dictionary with `with_penalty` and `without_penalty`, each a list of
        BLEU-1 to BLEU-4 from 0 to 100, `brevity_penalty`, from 0 to 1, and
        sacreBLEU's `signature`.

    Raises:
        ValueError: There is no hypothesis, the lengths differ, a reference is
            missing or has no words, or something is no str.

    Example:
        >>> found = bleu(["a red three"], [["A red three.", "one red three"]])
        >>> [round(value, 6) for value in found["with_penalty"]]
        [100.0, 100.0, 100.0, 0.0]
        >>> found["signature"].partition("|version")[0]
        'nrefs:2|case:mixed|eff:no|tok:none|smooth:none'

    Reference:
        Papineni et al. 2002, doi:10.3115/1073083.1073135; Post 2018,
        arXiv:1804.08771. Xu et al. 2015, arXiv:1502.03044, report BLEU
        without brevity penalty.
    """
    ours, theirs = _tokenized(hypotheses, references)
    return _bleu(ours, theirs)


def _bleu(ours, theirs):
    import sacrebleu

    lines = [" ".join(words) for words in ours]
    most = max(map(len, theirs))
    # sacreBLEU wants the first references of all, then the second ones.
    streams = [
        [" ".join(some[i]) if i < len(some) else None for some in theirs]
        for i in range(most)
    ]
    with_penalty, without = [], []
    for order in _ORDERS:
        metric = sacrebleu.BLEU(
            max_ngram_order=order, tokenize="none", smooth_method="none"
        )
        found = metric.corpus_score(lines, streams)
        with_penalty.append(found.score)
        without.append(found.score / found.bp if found.bp else 0.0)
    return {
        "with_penalty": with_penalty,
        "without_penalty": without,
        "brevity_penalty": float(found.bp),
        "signature": str(metric.get_signature()),
    }


def cider(hypotheses, references) -> tuple[float, list[float]]:
    """Compute CIDEr-D, which weighs n-grams by how telling they are.

    1. Count the n-grams of each caption, n = 1 to 4, times
       log(N / df), where df is the number of images in whose references the
       n-gram occurs (at least 1) and N the number of images.
    2. Similarity to a reference: the cosine, with the hypothesis's entries
       clipped at the reference's, times exp(-(difference of lengths)^2 /
       (2 sigma^2)), sigma = 6.
    3. Mean over n and over the references, times 10.

    Args:
        hypotheses: List of N str; one may be empty.
        references: List of N lists of str, of one or more references each.

    Returns:
        Tuple of the mean, 0 to 10, and the list of N scores. With a single
        image every n-gram is in all images: all weights and scores are 0.

    Raises:
        ValueError: There is no hypothesis, the lengths differ, a reference is
            missing or has no words, or something is no str.

    Example:
        >>> mean, scores = cider(
        ...     ["a red three above a two", "a dog"],
        ...     [["a red three above a two"], ["one white cat"]],
        ... )
        >>> round(mean, 6), [round(score, 6) for score in scores]
        (5.0, [10.0, 0.0])

    Reference:
        Vedantam et al. 2015, arXiv:1411.5726, sections 3 and 4.

        Differs from the paper in: document frequencies are those of the
        references given, not of a larger corpus. Tables of papers show 100
        times this value, 85.5 for 0.855. The authors' released code takes
        the number of bigrams for the length, this the number of words.
    """
    return _cider(*_tokenized(hypotheses, references))


def _cider(ours, theirs):
    documents = collections.Counter()
    counted = [[_ngrams(words) for words in some] for some in theirs]
    for some in counted:
        documents.update({gram for counts in some for gram in counts})
    images = len(theirs)

    def weigh(counts):
        """Return a vector of weights by n, and its norms."""
        vectors = {order: {} for order in _ORDERS}
        for gram, count in counts.items():
            weight = count * math.log(images / max(documents[gram], 1))
            vectors[len(gram)][gram] = weight
        norms = {
            order: math.sqrt(sum(weight**2 for weight in vector.values()))
            for order, vector in vectors.items()
        }
        return vectors, norms

    scores = []
    for words, several, some in zip(ours, theirs, counted, strict=True):
        hypothesis = weigh(_ngrams(words))
        similarities = [
            _similarity(hypothesis, weigh(counts), len(words) - len(reference))
            for reference, counts in zip(several, some, strict=True)
        ]
        scores.append(10 * sum(similarities) / len(similarities))
    return sum(scores) / len(scores), scores


def _ngrams(words) -> collections.Counter:
    """Count the n-grams of a caption, tuples of 1 to 4 words."""
    return collections.Counter(
        tuple(words[i : i + order])
        for order in _ORDERS
        for i in range(len(words) - order + 1)
    )


def _similarity(hypothesis, reference, difference) -> float:
    """Return the clipped cosine, mean over n, with the length penalty."""
    total = 0.0
    for order in _ORDERS:
        ours, theirs = hypothesis[0][order], reference[0][order]
        norm = hypothesis[1][order] * reference[1][order]
        if norm:
            common = sum(
                min(weight, theirs[gram]) * theirs[gram]
                for gram, weight in ours.items()
                if gram in theirs
            )
            total += common / norm
    penalty = math.exp(-(difference**2) / (2 * _SIGMA**2))
    return penalty * total / len(_ORDERS)


def meteor(hypotheses, references) -> float | None:
    """Compute METEOR by NLTK, None where NLTK or its WordNet is missing.

    Neither is a requirement of this library, and neither is downloaded: a
    result of None is reported as not run.

    Args:
        hypotheses: List of N str; one may be empty.
        references: List of N lists of str, of one or more references each.

    Returns:
        Mean over the captions of the best score of any reference, 0 to 100,
        or None.

    Raises:
        ValueError: There is no hypothesis, the lengths differ, a reference is
            missing or has no words, or something is no str.

    Reference:
        Banerjee and Lavie 2005, aclanthology.org/W05-0909.

        Differs from the captioning papers in: NLTK implements METEOR of 2005
        with exact, stem and WordNet matches; they use METEOR 1.5, which also
        knows paraphrases and other weights. Do not compare the two.
    """
    return _meteor(*_tokenized(hypotheses, references))


def _meteor(ours, theirs):
    try:
        from nltk.corpus import wordnet
        from nltk.translate.meteor_score import meteor_score

        wordnet.synsets("dog")
    except (ImportError, LookupError):
        return None
    scores = [
        meteor_score(several, words)
        for words, several in zip(ours, theirs, strict=True)
    ]
    return 100 * sum(scores) / len(scores)


def score(hypotheses, references) -> dict:
    """Compute every score of some captions.

    Args:
        hypotheses: List of N str; one may be empty.
        references: List of N lists of str, of one or more references each.

    Returns:
        Dictionary with the entries of `bleu`, `cider` (the mean, 0 to 10) and
        `meteor` (0 to 100, or None: not run).

    Raises:
        ValueError: There is no hypothesis, the lengths differ, a reference is
            missing or has no words, or something is no str.
    """
    ours, theirs = _tokenized(hypotheses, references)
    return {
        **_bleu(ours, theirs),
        "cider": _cider(ours, theirs)[0],
        "meteor": _meteor(ours, theirs),
    }
