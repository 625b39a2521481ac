#!/usr/bin/env python3
"""Makes a small training corpus from the texts of Debian's `fortunes` package.

    fortunes-corpus.py [SOURCE_DIR] OUT_DIR

Writes OUT_DIR/train.jsonl and OUT_DIR/validation.jsonl: one JSON object per document, text under the
key `text`. A document is what stands between lines of a single `%`. Every document occurs once: a text
that two files share must not be trained on and validated with. One document in 20 is held out, chosen
by its checksum, so that the split does not change when a file is added.
"""

import json
import os
import sys
import zlib

SOURCE_DIR = "/usr/share/games/fortunes"
HELD_OUT = 20  # one document in so many


def text_files(folder):
    """The texts of a fortunes folder, sorted: NAME, but not its index NAME.dat or its link NAME.u8."""
    paths = (os.path.join(folder, name) for name in sorted(os.listdir(folder)))
    return [p for p in paths if os.path.isfile(p) and not p.endswith(".dat") and not os.path.islink(p)]


def documents(path):
    """The texts of one file, without the `%` lines between them and without surrounding empty lines."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    text = []
    for line in lines + ["%"]:
        if line.rstrip() == "%":
            document = "\n".join(text).strip("\n")
            if document.strip():
                yield document + "\n"
            text = []
        else:
            text.append(line)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: fortunes-corpus.py [SOURCE_DIR] OUT_DIR")
    source = sys.argv[1] if len(sys.argv) == 3 else SOURCE_DIR
    out = sys.argv[-1]
    if not os.path.isdir(source):
        sys.exit(f"error: no folder {source}; Debian's package fortunes installs {SOURCE_DIR}")
    seen = set()
    split = {"train": [], "validation": []}
    for path in text_files(source):
        for document in documents(path):
            if document not in seen:
                seen.add(document)
                held_out = zlib.crc32(document.encode()) % HELD_OUT == 0
                split["validation" if held_out else "train"].append(document)
    if not all(split.values()):
        sys.exit(f"error: the texts in {source} are too few to train on some and hold out others")
    os.makedirs(out, exist_ok=True)
    for name, texts in split.items():
        with open(os.path.join(out, name + ".jsonl"), "w", encoding="utf-8") as file:
            for text in texts:
                file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        size = sum(len(text.encode()) for text in texts)
        print(f"{name}: {len(texts)} documents, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
