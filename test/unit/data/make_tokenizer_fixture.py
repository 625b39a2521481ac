#!/usr/bin/env python3
"""Writes the tokenizer fixture: a small BPE trained by Hugging Face's `tokenizers` with Llama 3's
splitting pattern, and the ids that the library gives for adversarial texts.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers==0.23.3
    /tmp/venv/bin/python test/unit/data/make_tokenizer_fixture.py test/unit/data/fixture

The variants change tokenizer.json as HuggingFaceTokenizerTest.cpp does: `plain` not at all,
`ignore_merges` sets model.ignore_merges, `gpt2` makes ByteLevel (use_regex) the only pre-tokenizer.
"""

import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

PROSE = """\
The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs; how vexingly
quick daft zebras jump! It's what they'd said they'll do, isn't it? We've 1234567 reasons, I'm sure.
Die heiße Zypernsonne quälte Max und Victoria ja böse auf dem Weg bis zur Küste. Ça été, naïve façade.
Съешь же ещё этих мягких французских булок, да выпей чаю. Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.
いろはにほへと ちりぬるを わかよたれそ つねならむ 天地玄黃 宇宙洪荒 日月盈昃 辰宿列張
def main(argv):\n\tfor i in range(10):\n\t\tprint("%d: %s" % (i, argv[i]))\n    return 0
"""

CASES = [
    "",
    " ",
    "a",
    "Hello, world!",
    PROSE,
    # Contractions in both cases, with other apostrophes, and with the long s that folds to s.
    "it's IT'S it'S we'Re I'VE he'd HE'LL y'all'd've 'tis it\u2019s it'\u017f '\u017ft o'clock ''s",
    # Runs of spaces before words, at the end, and around line breaks of every kind.
    "a  b   c    d     ",
    "  leading",
    "trailing  ",
    "\n\n\n",
    "a\r\nb\rc\n\rd\r\n\r\n  e \n f  \n\n  ",
    "tabs\t\there\t \t mixed \t\n\t",
    "nel\u0085ls\u2028ps\u2029ff\x0cvt\x0b.",
    # Every White_Space, and what only looks like it.
    "x\u00a0y\u1680z\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200aw",
    "x\u202fy\u205fz\u3000w",
    "x\u180ey \u180e z\u200bq \u200b \ufeff\u2060 end",
    "\x1c\x1d\x1e\x1f separators \x1c a",
    # Numbers: groups of three, other digits, fractions, superscripts, roman numerals.
    "1 12 123 1234 12345 1234567890 3.14159 1,000,000 0x1F 1e-9",
    "\u0661\u0662\u0663\u0664 \u0967\u0968\u0969\u096a \u00bd\u00be \u00b2\u00b3 \u2167\u2168 \u3007 \U0001d7ce\U0001d7cf",
    # Punctuation followed by line breaks, and alone.
    "end.\n\nnext...\r\n?!?!\n---\n===",
    "!!! ((a)) [b] {c} <d> /e\\ |f| ~g~ `h` @i #j $k% ^&*",
    " .leading punctuation  .two -dash --dashes",
    # Letters: combining marks, ligatures, title case, right to left, scripts without spaces.
    "e\u0301te\u0301 a\u0308\u0323 \ufb01\ufb02\ufb06 \u01c5\u01c8 \u0130\u0131 \u1e9e\u00df",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u1112\u1161\u11ab\ud55c\uae00 \u4f60\u597d\uff0c\u4e16\u754c\uff01\u3002",
    # Emoji: joined, flags, skin tones, variation selectors.
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U0001f44b\U0001f3fd \u2764\ufe0f 1\ufe0f\u20e3",
    # Planes, private use, noncharacters, controls.
    "\U00010348 \U0002070e \ue000\uf8ff \U000f0000 \U0010ffff \ufffe\uffff \x00\x01\x7f\x80\x9f",
    # Special tokens, prefixes of them, one that begins like another, and one that is not special.
    "<|begin_of_text|>a<|end_of_text|>",
    "<|begin_of_text|<|end_of_text|>|><|end_of<|",
    "<|end_of_text|><|end_of_text_2|><|end_of_text_3|>",
    "x <tool> y<tool>z < tool><tool",
    " <|end_of_text|> spaced <|end_of_text|>\n\n",
    # Long pieces, and pieces with many equal merges.
    "a" * 1000,
    "ab" * 500,
    "the" * 100 + " the" * 100,
    " " * 300 + "x" + "\n" * 300,
    "0" * 100,
    "." * 257,
    "\U0001f600" * 50,
    # A token that no merge reaches.
    "an unreachable token, unreachable unreachables",
]

ALPHABET = (
    "aAbBsStTlLdDmMeErRvV  '''\n\r\t0129.,!?-_<|>/"
    "\u00a0\u00df\u00e9\u017f\u0301\u0660\u0915\u094d\u180e\u200b\u200d\u2009\u2028\u2167\u3000"
    "\u4e2d\uac00\ufeff\ufb01\U0001f600\U0001d400\U00010348\U0010ffff"
)


def random_cases(count):
    generator = random.Random(20250101)
    return [
        "".join(generator.choice(ALPHABET) for _ in range(generator.randint(1, 40)))
        for _ in range(count)
    ]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([PROSE] * 4 + CASES, trainer)
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|end_of_text_2|>"]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=True)])
    root = json.loads(tokenizer.to_str())
    # Llama 3 has tokens that merges do not reach; ignore_merges takes them whole. The added tokens
    # come after the vocabulary.
    vocab = root["model"]["vocab"]
    assert "\u0120unreachable" not in vocab
    vocab["\u0120unreachable"] = len(vocab)
    for token in root["added_tokens"]:
        token["id"] += 1
    return root


def variants(root):
    ignoring = json.loads(json.dumps(root))
    ignoring["model"]["ignore_merges"] = True
    gpt2 = json.loads(json.dumps(root))
    gpt2["pre_tokenizer"] = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True,
    }
    return {"plain": root, "ignore_merges": ignoring, "gpt2": gpt2}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    root = train()
    config = {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>"}}
    (folder / "tokenizer.json").write_text(json.dumps(root, indent=1) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    tokenizers = {name: Tokenizer.from_str(json.dumps(r)) for name, r in variants(root).items()}
    cases = []
    for text in CASES + random_cases(150):
        case = {"text": text}
        for name, tokenizer in tokenizers.items():
            case[name] = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append(case)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / "cases.json").write_text("[\n" + lines + "\n]\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
