"""Python that does the same outside this window. No Qt."""

from __future__ import annotations

from pathlib import Path

BUNDLED = "bundled:"


def loading(spec: str) -> str:
    """The lines that give `tokenizer`."""
    imports, name = "", repr(spec)
    if spec.startswith(BUNDLED):
        imports = "from llmlab.paths import bundled_model\n"
        name = f"bundled_model({spec.removeprefix(BUNDLED)!r})"
    elif Path(spec).exists():
        name = repr(str(Path(spec).absolute()))
    return f"from transformers import AutoTokenizer\n{imports}\ntokenizer = AutoTokenizer.from_pretrained({name})"


def tokens(spec: str, text: str, *, fast: bool, special: bool = True) -> str:
    """A script that prints ids, tokens and their places; without the special tokens that are added if so said."""
    choice = "" if special else ", add_special_tokens=False"
    if not fast:
        return f"""{loading(spec)}
ids = tokenizer({text!r}{choice})["input_ids"]
for token_id, token in zip(ids, tokenizer.convert_ids_to_tokens(ids)):
    print(token_id, repr(token))
"""
    return f"""{loading(spec)}
text = {text!r}
encoding = tokenizer(text, return_offsets_mapping=True, truncation=False{choice})
for token_id, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"]):
    print(token_id, start, end, repr(tokenizer.convert_ids_to_tokens(token_id)), repr(text[start:end]))
"""
