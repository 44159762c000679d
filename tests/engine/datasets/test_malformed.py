"""Three hundred damaged files: each gives rows with notes, or words, and never anything else."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine import datasets
from llmlab.engine.datasets import Imported, limits
from llmlab.engine.errors import InputError

from .conftest import VALID, read

MARKS = (b'"', b"'", b"{", b"[", b"]", b"\n", b": ", b"&a ", b"*a", b"|||")
DAMAGES = 25  # of each valid file: with the list below, more than three hundred files


def outcome(name: str, data: bytes) -> Imported | InputError:
    try:
        found = read(name, data)
    except InputError as caught:
        refusal = caught
    else:
        refusal = None
    if refusal is not None:
        assert refusal.message.endswith(".")
        assert refusal.hint.endswith(".")
        return refusal
    assert all(len(row) == len(found.fields) for row in found.rows)
    assert not found.lines or len(found.lines) == len(found.rows)
    assert not found.choices or len(found.choices) == len(found.rows)
    assert set(found.mapping.inputs) <= set(found.fields)
    assert all(note.text for note in found.notes)
    for example in found.examples():
        "".join(value for _, value in example.fields).encode()  # no half characters
    return found


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One of the things that happen to files."""
    place, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((
        lambda: data[:place],
        lambda: data[place:],
        lambda: data[:place] + data[end:],
        lambda: data[:place] + rng.randbytes(rng.randrange(1, 9)) + data[place:],
        lambda: data[:end] + data[place:],
        lambda: data[:place] + b"\0" + data[place:],
        lambda: data[:place] + rng.choice(MARKS) + data[place:],
        lambda: b"\xff\xfe" + data,
        lambda: data.replace(b"\n", b"\r"),
        lambda: data * 3,
    ))()  # fmt: skip


@pytest.mark.parametrize("seed", range(DAMAGES))
def test_damaged_files_give_rows_or_words(valid: tuple[str, bytes], seed: int) -> None:
    name, data = valid
    outcome(name, damaged(data, random.Random(f"{name} {seed}")))


HAND_WRITTEN: dict[str, tuple[str, bytes]] = {
    "empty": ("a.csv", b""),
    "spaces": ("a.json", b"  \n\t\n"),
    "only a mark": ("a.csv", b"\xef\xbb\xbf"),
    "only a header": ("a.csv", b"text,label\n"),
    "only delimiters": ("a.csv", b",,,\n,,,\n"),
    "only quotes": ("a.csv", b'"""""""\n""""\n'),
    "binary": ("a.csv", bytes(range(256)) * 40),
    "picture": ("a.json", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200)),
    "old excel": ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100)),
    "pickle": ("a.json", b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02e."),
    "odd utf-16": ("a.csv", "a,b\n1,2\n".encode("utf-16")[:-1]),
    "zero bytes": ("a.jsonl", b'{"a": "x\0y"}\n'),
    "deep lists": ("a.json", b"[" * 100_000 + b"]" * 100_000),
    "deep objects": ("a.json", b'{"a":' * 100_000),
    "deep yaml": ("a.yaml", b"[" * 100_000),
    "deep yaml blocks": ("a.yaml", b"".join(b" " * n + b"- \n" for n in range(300))),
    "deep flow": ("a.cforge", b'{"flow": {"nodes": [' + b"[" * 5000),
    "a number": ("a.json", b"7"),
    "a string": ("a.json", b'"text"'),
    "null": ("a.json", b"null"),
    "empty list": ("a.json", b"[]"),
    "empty objects": ("a.json", b"[{}, {}, {}]"),
    "one key": ("a.json", b'{"examples": []}'),
    "unclosed string": ("a.json", b'[{"a": "x'),
    "many unclosed": ("a.json", b'[{"x":[\n' + b'{"x":[\n' * 50_000),
    "comments": ("a.json", b'[{"a": 1}, // one\n{"a": 2}]'),
    "single quotes": ("a.json", b"[{'a': 1}]"),
    "infinite": ("a.json", b'[{"a": Infinity, "b": -1e99999}]'),
    "not a line": ("a.jsonl", b"hello\nworld\n"),
    "pretty lines": ("a.jsonl", b'{\n "a": 1\n}\n{\n "a": 2\n}\n'),
    "tabs in yaml": ("a.yaml", b"a:\n\t- b\n"),
    "no yaml": ("a.yaml", b"%%% @ ` :::\n"),
    "yaml directive": ("a.yaml", b"%YAML 9.9\n---\na: 1\n"),
    "several documents": ("a.yaml", b"--- {a: 1}\n--- {a: 2}\n"),
    "unknown alias": ("a.yaml", b"- *nobody\n"),
    "complex keys": ("a.yaml", b"? [a, b]\n: c\n? {d: e}\n: f\n"),
    "control characters": ("a.yaml", b"- \x01\x02: \x07\n"),
    "templates of nothing": ("a.yaml", b"templates: {a: !Template {jinja: ''}}\n"),
    "task of nothing": ("a.yaml", b"doc_to_text:\n"),
    "task of lists": ("a.yaml", b"doc_to_text: [1]\ndoc_to_target: {a: b}\ndoc_to_choice: {c: d}\nfewshot_config: 7\n"),
    "samples of all kinds": ("a.yaml", b"doc_to_text: t\nfewshot_config: {samples: [1, [2], {t: x}, null]}\n"),
    "promptfoo of nothing": ("a.yaml", b"prompts:\nproviders:\ntests:\n"),
    "promptfoo of all kinds": ("a.yaml", b"prompts: {a: b}\ntests: [1, {vars: 7, assert: [8, {type: x}]}]\n"),
    "promptfoo explosion": (
        "a.yaml",
        b"prompts: x\ntests:\n- vars: {" + b", ".join(b"v%d: [a,b,c,d,e,f,g,h]" % n for n in range(20)) + b"}\n",
    ),
    "flow of nothing": ("a.cforge", b'{"flow": {"nodes": [], "edges": []}}'),
    "flow of all kinds": (
        "a.cforge",
        b'{"flow": {"nodes": [1, {"type": "prompt", "data": 7}, {"type": 3}], "edges": 9}}',
    ),
    "project of the future": ("a.yaml", b"llmlab: prompt-shot project\nversion: 99\n"),
    "project of lists": (
        "a.yaml",
        b"llmlab: prompt-shot project\nprompt: [1]\nexamples: {a: b}\nshots: many\nseed: -1\n",
    ),
    "project of all kinds": (
        "a.yaml",
        b"llmlab: prompt-shot project\nprompt: {form: x, room: 1e9}\nexamples: [1, {}]\n",
    ),
    "rules only": ("a.txt", b"---\n---\n---\n"),
    "no suffix": ("README", b"hello"),
}


@pytest.mark.parametrize("case", sorted(HAND_WRITTEN))
def test_hand_written_files_give_rows_or_words(case: str) -> None:
    outcome(*HAND_WRITTEN[case])


def test_there_are_three_hundred() -> None:
    assert len(VALID) * DAMAGES + len(HAND_WRITTEN) >= 300


@given(st.sampled_from(sorted(VALID)), st.binary(max_size=300))
def test_any_bytes_under_any_name(name: str, data: bytes) -> None:
    outcome(name, data)


@given(st.sampled_from(["a.csv", "a.json", "a.jsonl", "a.yaml", "a.txt", "a.cforge"]), st.text(max_size=300))
def test_any_text_under_any_name(name: str, text: str) -> None:
    outcome(name, text.encode())


@given(st.text(max_size=300))
def test_any_pasted_text(text: str) -> None:
    with contextlib.suppress(InputError):
        assert datasets.from_text(text).rows


def test_bad_rows_hide_no_good_one() -> None:
    good = [
        ("csv", "ok {},yes\n", "text,label\n"),
        ("jsonl", '{{"text": "ok {}"}}\n', ""),
        ("yaml", "- text: ok {}\n", ""),
    ]
    bad = ['"', '{"a"', "\t- [", "}", "'x\n", "- {a: [\n", '"a"b,c\n']
    for suffix, line, head in good:
        for number, break_ in enumerate(bad):
            break_ = break_.rstrip("\n") + "\n"
            content = (
                head + "".join(line.format(n) for n in range(5)) + break_ + "".join(line.format(n) for n in range(5, 9))
            )
            found = outcome(f"a.{suffix}", content.encode())
            assert isinstance(found, Imported), (suffix, number, found)
            there = {cell for row in found.rows for cell in row}
            missing = [n for n in range(9) if f"ok {n}" not in there]
            allowed = 1 if suffix == "yaml" else 0  # the item that the break touches
            assert len(missing) <= allowed, (suffix, break_, missing, found.notes)


def test_a_huge_file_is_read_in_its_beginning(tmp_path: Path) -> None:
    for name, line in (
        ("a.csv", b"text,label\n"),
        ("a.jsonl", b'{"text": "x"}\n'),
        ("a.txt", b"hello\n"),
        ("a.json", b"["),
    ):
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(line * 2)
            file.truncate(200_000_000)  # the rest is a hole of zeros, which costs no disk
            file.seek(0)
            file.write(line * (2 * limits.HEAD // len(line)))
        try:
            found = datasets.read(path)
        except InputError:
            assert name in {"a.json", "a.txt"}  # one endless list, one endless prompt
        else:
            assert not found.whole
            assert found.size == 200_000_000
            assert any("only the first" in note.text for note in found.notes)
    big = tmp_path / "a.yaml"
    with big.open("wb") as file:
        file.write(b"- a\n")
        file.truncate(200_000_000)
    with pytest.raises(InputError):
        datasets.read(big)


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        datasets.read(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="cannot be read"):
        datasets.read(tmp_path)
