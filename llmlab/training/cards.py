"""Model cards, generated from the record of the training and the register of sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmlab.training import lexicon
from llmlab.training.corpus import HELD_OUT_PER_MILLE, HELD_OUT_SENTENCES_PER_MILLE, Source, source
from llmlab.training.families import HELD_OUT_INTENTS

_WHAT = {
    "decoder": "A very small causal language model (Llama architecture: RoPE, grouped-query attention, SwiGLU). "
    "It tells simple children's stories, answers questions about facts given in the prompt, and learns simple "
    "labelling tasks from examples in its context.",
    "encoder": "A very small masked language model (ModernBERT architecture: rotary positions, alternating local "
    "and global attention). It fills in masked words of simple English.",
    "seq2seq": "A very small encoder-decoder (T5 architecture, version 1.1 style: gated GELU, tied embeddings). It "
    "was trained to restore missing spans of simple English and to answer, summarize and classify; how far it came "
    "with each stands in `../REPORT.md`.",
    "draft": "A draft model for Llama Lab Storyteller (`../decoder`): one Llama layer that guesses what the decoder "
    "would write next, for assisted (speculative) decoding. The decoder checks the guesses, so that the text is the "
    "decoder's own. It opens and writes like any other causal language model, and writes worse than the decoder.",
}
_PIPELINE = {
    "decoder": "text-generation",
    "encoder": "fill-mask",
    "seq2seq": "text-generation",
    "draft": "text-generation",
}
_CLASS = {
    "decoder": "AutoModelForCausalLM",
    "encoder": "AutoModelForMaskedLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "draft": "AutoModelForCausalLM",
}
_USE = {
    "decoder": """inputs = tokenizer("Once upon a time, there was a little fox", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))""",
    "encoder": """inputs = tokenizer("Lily went to the park to play with her <|mask|>.", return_tensors="pt")
masked = inputs.input_ids[0] == tokenizer.mask_token_id
print(tokenizer.convert_ids_to_tokens(model(**inputs).logits[0, masked].topk(5).indices[0]))""",
    "seq2seq": """text = "Lily went to the <extra_id_0> to play with <extra_id_1> friends."
inputs = tokenizer(text, return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs)[0]))""",
    "draft": """decoder = AutoModelForCausalLM.from_pretrained(folder_of_the_decoder)
inputs = tokenizer("Once upon a time, there was a little fox", return_tensors="pt")
ids = decoder.generate(**inputs, assistant_model=model)[0]
print(tokenizer.decode(ids, skip_special_tokens=True))""",
}
_LEARNED = {
    "decoder": """- **Stories**: connected, simple English in the manner of the files below.
- **In-context classification** with two to five labels, natural or arbitrary words: intents and domains of short
  requests, spam, positive or negative reviews, kinds of text, word groups, generated sentences by topic, feeling,
  grammar or person. Also look-up of arbitrary word pairs and word mappings (opposites, plurals, past tense …).
- **Small skills**, from generated text: questions about a story or a list of facts, one-sentence summaries, copying,
  repeated random tokens, lists continued, brackets, agreement, sums of one-digit numbers, two-turn chats.
- **Never trained**: {intents} of the 150 intents of CLINC150, {per_cent} % of the labelled sentences (by hash), the
  word groups {groups}, and question types. Film reviews (SST-2) and news topics (AG News) only measure.""",
    "encoder": """- **Masked words** (15–30 % of the tokens, drawn anew each time) of simple English.
- It was trained on nothing else: no sentence pairs, no labels.""",
    "seq2seq": """- **Span corruption**: 15 % of the tokens, spans of 3 on average, sentinels `<extra_id_0>` …
- `answer: QUESTION context: TEXT`: fairy-tale questions and generated stories.
- `summarize: TEXT`: generated stories, one sentence.
- `classify intent|domain|message|sentiment|word: TEXT`: intents and domains of short requests (without {intents}
  held-out intents and {per_cent} % held-out sentences), spam, generated reviews, word groups.""",
    "draft": """- **The decoder's next token**, all of its distribution, in texts that the decoder wrote itself
  (greedy, and sampled at temperatures from 0.7 to 1) and in the text below.
- One layer cannot find an earlier place and go on from there, so it has learned no in-context tasks. How many of its
  guesses the decoder accepts stands in `../REPORT.md`.""",
}
_SPECIALS = {
    "decoder": "Every text begins with `<|endoftext|>`, which also ends it. The chat template uses `<|system|>`, "
    "`<|user|>`, `<|assistant|>` and `<|end|>`; no conversation with a system message was trained.",
    "encoder": "Text is read as `<|cls|> text <|sep|>`, pairs as `<|cls|> a <|sep|> b <|sep|>`. The mask is "
    "`<|mask|>`; it stands for a word with the space before it.",
    "seq2seq": "Text ends with `<|endoftext|>`; the decoder starts from `<|pad|>`. A sentinel stands for words with "
    "the space before them.",
    "draft": "Special tokens and chat template are the decoder's: the tokenizer files are the very same.",
}

_OWN = {  # besides the files; what the encoder reads is these alone
    "decoder": "Stories and tasks generated by `llmlab/training/synthetic.py` and `episodes.py` come on top; "
    "they are the\nproject's own. ",
    "encoder": "",
    "seq2seq": "Stories and tasks generated by `llmlab/training/tasks.py` come on top; they are the\nproject's own. ",
    "draft": "Stories, chats and lists generated by `llmlab/training/synthetic.py` come on top; they are the\n"
    "project's own. ",
}
_LLAMA = (
    "The Llama 3.1 Community License asks that a model trained on Llama's outputs carry its name in front, hence the\n"
    "name of this one."
)
_NO_LLAMA = (
    "None of the text was generated by Llama. The authors of TinyStories (file 01) generated it with GPT-3.5 and\n"
    "GPT-4."
)


def _table(sources: list[Source]) -> str:
    rows = "\n".join(f"| {one.name} | {one.origin} | {one.licence} |" for one in sources)
    return f"| file | from | licence |\n| --- | --- | --- |\n{rows}"


def _front_matter(kind: str) -> str:
    tags = "".join(f"  - {tag}\n" for tag in ("llm-lab", "educational", kind))
    return f"---\nlanguage: en\nlibrary_name: transformers\npipeline_tag: {_PIPELINE[kind]}\ntags:\n{tags}---\n"


def _training(facts: Mapping[str, Any]) -> str:
    machine = facts["machine"]
    device = "CPU" if machine["device"] == "cpu" else machine["device_name"]
    plural = "" if machine["threads"] == 1 else "s"
    threads = f" ({machine['threads']} thread{plural}, {machine['cpu_cores']} cores)" if device == "CPU" else ""
    return (
        f"{facts['parameters']:,} parameters; {facts['tokens'] / 1e6:.1f} million tokens in {facts['steps']:,} steps "
        f"and {facts['minutes']:.0f} minutes on {device}{threads}, torch {machine['torch']}, bfloat16 autocast, "
        "Muon for the matrices and AdamW for the rest. All numbers are in "
        "`training_record.json`. Trained so briefly, the model "
        "is a thing to look into, not one to rely on."
    )


def _teaching(facts: Mapping[str, Any]) -> str:
    """How a model that learns from another one is taught."""
    if "teacher" not in facts:
        return ""
    teacher, plan = facts["teacher"], facts["recipe"]["distillation"]
    return (
        f"\n\nThe loss is the divergence from what {teacher['name']} (weights `{teacher['weights']}…`) says at "
        f"temperature 1 after every token. {100 * plan['own']:.0f} % of the rows are drawn from "
        f"{plan['batches'] * plan['texts']:,} texts of {plan['written_length']} tokens that it wrote beforehand, each "
        f"from the beginning of a training row, {100 * plan['greedy']:.0f} % of them greedily. The others are the text "
        "below."
    )


def card(facts: Mapping[str, Any]) -> str:
    """The text of README.md."""
    kind = facts["kind"]
    used = [source(name) for name in (*facts["files"], *facts["labelled"])]
    llama = any(one.llama for one in used)
    learned = _LEARNED[kind].format(
        intents=HELD_OUT_INTENTS,
        per_cent=HELD_OUT_SENTENCES_PER_MILLE // 10,
        groups=", ".join(lexicon.HELD_OUT_GROUPS),
    )
    return f"""{_front_matter(kind)}
# {facts["name"]}
{chr(10) + "**Built with Llama.** Part of the training text was written by Llama 3.1." + chr(10) if llama else ""}
{_WHAT[kind]}

```python
from transformers import {_CLASS[kind]}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = {_CLASS[kind]}.from_pretrained(folder)
{_USE[kind]}
```

## What it learned
{learned}

## How it was trained
{_training(facts)}{_teaching(facts)}

{_SPECIALS[kind]} The tokenizer is a byte-level BPE of 4,096 entries with single digits, learned only from files that
are not by Llama; the bundled models share its vocabulary.

## What it read
{HELD_OUT_PER_MILLE / 10:.0f} % of the documents (by hash) were held out. None of the text is shipped with the model.

{_table(used)}

{_OWN[kind]}{_LLAMA if llama else _NO_LLAMA}

## Limits
English children's stories and little else. It knows no facts about the world worth trusting, repeats prejudices of
old books, and its text can be wrong, odd or unsuitable. Figures are in `../REPORT.md`.
"""


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the card as README.md."""
    (folder / "README.md").write_text(card(facts), "utf-8")
