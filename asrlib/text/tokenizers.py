"""From text to label numbers and back: characters, whole words, phones, word pieces.

Label 0 is blank in every tokenizer. Lesson 05.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from asrlib.errors import InputError
from asrlib.text.labels import BLANK, Tokenizer, normalize_text
from asrlib.text.lexicon import ARPABET, STRESSED, Lexicon, cmu_lexicon, load_lexicon

LEXICON = "lexicon.tsv"  # a file of a model directory, beside tokenizer.json


class WordPieceTokenizer(Tokenizer):
    """A tokenizer over the word pieces of a sentencepiece model.

    A label's number is sentencepiece's number plus one, because 0 is blank. In a model whose piece 0 is
    padding, as in TensorFlowASR's, that piece is blank, and the numbers are the same. ``model`` is the
    content of the model file. Raises ``InputError`` if it is not a sentencepiece model.
    """

    def __init__(self, model: bytes, normalize: bool = True):
        import sentencepiece

        self._model = model
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(model)
        except RuntimeError:
            raise InputError("tokenizer.model is not a sentencepiece model") from None
        self._first = 0 if self._pieces.pad_id() == 0 else 1  # the label of piece 0
        pieces = [self._pieces.id_to_piece(i) for i in range(1 - self._first, self._pieces.get_piece_size())]
        super().__init__("wordpieces", pieces, normalize)

    def split(self, text: str) -> list[str]:
        """Split a text into word pieces, as strings."""
        return self._pieces.encode(self.prepare(text), out_type=str)

    def encode(self, text: str) -> list[int]:
        """Return the label numbers of a text.

        Raises ``InputError`` for a character outside the vocabulary.
        """
        numbers = self._pieces.encode(self.prepare(text))
        if self._pieces.unk_id() in numbers:
            unk = self._pieces.id_to_piece(self._pieces.unk_id())  # its own characters are not known
            known = set("".join(label for label in self.labels if label != unk)) | {" "}
            unknown = next((c for c in self.prepare(text) if c not in known), "?")
            remedy = "correct the transcript, or train a tokenizer on texts that have it"
            if self.normalize and unknown not in known and unknown.upper() in known:
                remedy = "its pieces are upper case, so set tokenizer.normalize: false"
            raise InputError(f"the tokenizer does not know the character {unknown!r} of {text!r}: {remedy}")
        return [number + self._first for number in numbers]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of label numbers, skipping blanks."""
        return self._pieces.decode([int(number) - self._first for number in numbers if number != BLANK])

    def word_starts(self, numbers: Sequence[int]) -> list[int]:
        """Return the positions in ``numbers`` of pieces that start a word."""
        return [i for i, n in enumerate(numbers) if i == 0 or self.labels[n - 1].startswith("▁")]

    def save(self, folder: str | Path) -> None:
        """Write the sentencepiece model and the settings into a model directory."""
        Path(folder, "tokenizer.model").write_bytes(self._model)
        content = {"kind": self.kind, "normalize": self.normalize}
        Path(folder, "tokenizer.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


class PhoneTokenizer(Tokenizer):
    """A tokenizer of words as phones. Lesson 14.

    ``encode`` looks words up in a lexicon; ``decode`` returns phones. ``labels`` may contain phones that
    occur in no word of the lexicon, so that words can be added later. Raises ``InputError`` if a phone of the
    lexicon is not a label.
    """

    def __init__(self, labels: Sequence[str], lexicon: Lexicon, normalize: bool = True):
        super().__init__("phones", labels, normalize)
        self.lexicon = lexicon
        for word, phones in lexicon.flat():
            unknown = [phone for phone in phones if phone not in self._number]
            if unknown:
                raise InputError(
                    f"the tokenizer has no label for the phone {unknown[0]!r} of the lexicon's word {word!r}:"
                    " write phones like its labels"
                )

    def words(self, text: str) -> str:
        """Return the words of a text in the form used by the lexicon."""
        return normalize_text(text) if self.normalize else " ".join(text.split())

    def prepare(self, text: str) -> str:
        """Return the phones of a text, by the usual pronunciation of each word."""
        return " ".join(self.lexicon.transcribe(self.words(text)))

    def numbers(self, phones: Iterable[str]) -> list[int]:
        """Return the label numbers of phones. Raises ``InputError`` for a phone that is not a label."""
        try:
            return [self._number[phone] for phone in phones]
        except KeyError as error:
            raise InputError(f"the tokenizer has no label for the phone {error.args[0]!r}") from None

    def save(self, folder: str | Path) -> None:
        """Write the labels, the settings and the lexicon into a model directory."""
        super().save(folder)
        self.lexicon.save(Path(folder, LEXICON))


def train_phones(texts: Iterable[str], lexicon: str, stress: bool, normalize: bool = True) -> PhoneTokenizer:
    """Make a phone tokenizer for the words in ``texts``. Lesson 14.

    ``lexicon`` is ``cmudict`` or the path of a file (see `asrlib.text.lexicon.load_lexicon`). With
    ``cmudict``, all phones of the CMU dictionary are labels, with or without ``stress``, and the lexicon
    keeps the words of the texts. A file's lexicon is kept as a whole, and its phones are the labels. Raises
    ``InputError`` for a word without a pronunciation.
    """
    if lexicon != "cmudict":
        found = load_lexicon(lexicon)
        return PhoneTokenizer(found.phones, found, normalize)
    plain = Tokenizer("words", [], normalize)
    words = sorted({word for text in texts for word in plain.split(text)})
    return PhoneTokenizer(STRESSED if stress else ARPABET, cmu_lexicon(words, stress), normalize)


def train_tokenizer(
    kind: str,
    texts: Iterable[str],
    vocabulary: int | None = None,
    model_type: str = "unigram",
    normalize: bool = True,
    max_piece_length: int = 16,
    reserved: Sequence[str] = (),
) -> Tokenizer:
    """Train a tokenizer of a kind (see ``asrlib.text.labels.KINDS``) on ``texts``. Lesson 05.

    For all kinds but word pieces the labels are those that occur in the texts, sorted. The arguments after
    ``texts``, except ``normalize``, apply to word pieces only:

    - ``vocabulary`` is the number of labels. It includes blank (0) and ``<unk>`` (1), which ``encode`` never
      returns.
    - ``model_type`` is ``unigram`` (Kudo 2018) or ``bpe`` (Sennrich et al. 2016).
    - ``max_piece_length`` is the largest number of characters in a piece, counting the ▁ that starts a word.
      Reserved pieces may be longer.
    - ``reserved`` pieces get the numbers from 2 on, even if no text contains them.

    Raises ``InputError`` if the texts are empty, or too few for that vocabulary.
    """
    if kind != "wordpieces":
        tokenizer = Tokenizer(kind, [], normalize)
        labels = sorted({label for text in texts for label in tokenizer.split(text)})
        if not labels:
            raise InputError("there is no text to train a tokenizer on")
        return Tokenizer(kind, labels, normalize)
    return _train_wordpieces(texts, vocabulary, model_type, normalize, max_piece_length, reserved)


def _train_wordpieces(
    texts: Iterable[str],
    vocabulary: int | None,
    model_type: str,
    normalize: bool,
    max_piece_length: int,
    reserved: Sequence[str],
) -> WordPieceTokenizer:
    import sentencepiece

    lines = [normalize_text(text) if normalize else text for text in texts]
    lines = [line for line in lines if line]
    if not lines or not vocabulary:
        raise InputError("word pieces need texts, and tokenizer.vocabulary in the configuration")
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder, "tokenizer"))
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_prefix=prefix,
                vocab_size=vocabulary - 1,
                model_type=model_type,
                max_sentencepiece_length=max_piece_length,
                user_defined_symbols=list(reserved),
                character_coverage=1.0,
                bos_id=-1,
                eos_id=-1,
                unk_id=0,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise InputError(
                f"sentencepiece cannot make {vocabulary} word pieces of these texts: {_piece_trouble(error)}"
            ) from None
        return WordPieceTokenizer(Path(prefix + ".model").read_bytes(), normalize)


def _piece_trouble(error: RuntimeError) -> str:
    """Return sentencepiece's reason, with vocabularies counted as here: including blank."""
    reason = str(error).strip().splitlines()[-1].rsplit("] ", 1)[-1]  # drop its source line
    if found := re.search(r"too high.*<= (\d+)", reason):
        return f"they have only {int(found[1]) + 1}; set tokenizer.vocabulary to at most that"
    if found := re.search(r"smaller than required_chars.*?\d+ vs (\d+)", reason):
        return f"their characters alone are {int(found[1]) + 1}; set tokenizer.vocabulary to at least that"
    return reason
