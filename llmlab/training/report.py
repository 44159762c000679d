"""REPORT.md: what the shipped models can do, measured on the shipped weights. Nothing in it is typed by hand."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmlab.training import episodes, tasks
from llmlab.training.corpus import Corpus
from llmlab.training.distillation import TEACHER
from llmlab.training.draft_report import draft_text_section, guesses_section
from llmlab.training.evaluate import cloze, heads, icl, language, samples, spans
from llmlab.training.export import RECORD
from llmlab.training.shipped import AUTO, Effort, Say, Shipped, files, load, table
from llmlab.training.tokenizer import word_tokens


def training_table(records: Sequence[dict[str, Any]]) -> str:
    """Size, budget and machine of every model, from its record."""
    rows = []
    for one in records:
        machine = one["machine"]
        device = (
            f"{machine['device_name']}, {machine['cpu_cores']} cores"
            if machine["device"] == "cpu"
            else machine["device_name"]
        )
        rows.append(
            [
                one["kind"],
                one["name"],
                f"{one['parameters']:,}",
                f"{one['tokens'] / 1e6:.1f} M",
                f"{one['steps']:,}",
                f"{one['minutes']:.0f}",
                f"{machine['device'].upper()} ({device})",
                f"{machine['torch']} / {machine['transformers']}",
            ]
        )
    header = ("model", "name", "parameters", "tokens read", "steps", "minutes", "device", "torch / transformers")
    return table(header, rows)


def language_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """Held-out loss per file, with both baselines."""
    decoder = load(models, "decoder")
    rows = []
    for name in files(decoder, corpus):
        say(f"decoder: held-out text of {name}")
        one = language.score(decoder.model, decoder.backend, corpus, name, effort.tokens)
        rows.append(
            [
                name,
                f"{one.documents}",
                f"{one.tokens:,}",
                f"{one.nats_per_token:.3f}",
                f"**{one.bits_per_byte:.3f}**",
                f"{one.ngram_bits_per_byte:.3f}",
                f"{one.xz_bits_per_byte:.3f}",
            ]
        )
    header = ("file", "documents", "tokens", "nats/token", "bits/byte", "5-gram bits/byte", "xz bits/byte")
    return f"""Each held-out document is read from its beginning after `<|endoftext|>`, at most 511 tokens of
it, at most about {effort.tokens:,} tokens a file. *5-gram*: interpolated Kneser-Ney on the same tokens, trained
on up to {language.NGRAM_TOKENS / 1e6:.1f} M tokens of the same file's training documents. *xz*: bytes added to an
xz archive of up to {language.XZ_DICTIONARY / 1e6:.0f} MB of the same file's training text. Lower is better; both
baselines see one file and nothing else, the model learned all of them at once.

{table(header, rows)}"""


def icl_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """Accuracy against the number of shots, natural and arbitrary labels."""
    decoder = load(models, "decoder")
    words = episodes.arbitrary_words(word_tokens(decoder.backend), held_out=True)
    rows, verdicts = [], []
    for group, family in icl.measured_families(corpus):
        for arbitrary in (None, words):
            say(f"decoder: {family.name}, {'arbitrary' if arbitrary else 'natural'} labels")
            curve = icl.curve(decoder.model, decoder.backend, family, arbitrary, effort.trials)
            rows.append(
                [family.name, group, curve.labels, *(str(curve.accuracy[k]) for k in icl.SHOTS), _verdict(curve)]
            )
            verdicts.append((family.name, curve))
    header = ("family", "seen in training?", "labels", *(f"k = {k}" for k in icl.SHOTS), "rises?")
    rising = sorted({f"{n} ({c.labels})" for n, c in verdicts if _verdict(c) == "yes"})
    flat = sorted({f"{n} ({c.labels})" for n, c in verdicts if _verdict(c) == "no"})
    return f"""Two labels, chance is 50 %. Accuracy in per cent with its 95 % Wilson interval over
{effort.trials} trials a point; in each trial two labels of the family, k shots (both labels equally often), an
instruction that names the two labels, one of three templates, and a query that is not among the shots. The
answer is the label with the higher log-probability over all its tokens. Arbitrary labels are words that were
never labels in training, drawn anew for every trial, so only the shots tell what they mean. *Rises*: yes when
the interval at k = 8 lies above one half and above the accuracy at k = 0.

{table(header, rows)}

Rises clearly: {", ".join(rising) or "none"}.
Does not: {", ".join(flat) or "none"}."""


def _verdict(curve: icl.Curve) -> str:
    low = curve.accuracy[icl.SHOTS[-1]].interval[0]
    return "yes" if low > max(0.5, curve.accuracy[0].value) else "no"


def heads_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """Previous-token and induction scores of all heads."""
    say("decoder: heads")
    scores = heads.head_scores(load(models, "decoder", "eager").model)
    previous, induction = scores.best(scores.previous), scores.best(scores.induction)
    layers, count = scores.previous.shape
    rows = [
        [
            str(layer),
            *(f"{p:.2f} / {i:.2f}" for p, i in zip(scores.previous[layer], scores.induction[layer], strict=True)),
        ]
        for layer in range(layers)
    ]
    return f"""On `<|endoftext|>` + 50 random tokens + the same 50 again (16 sequences): the mean weight from each
token to the one before it (*previous*), and from each token of the repetition to the token after its first
occurrence (*induction*; Olsson et al., 2022).

- Best previous-token head: **layer {previous[0]}, head {previous[1]}**, score {previous[2]:.2f}.
- Best induction head: **layer {induction[0]}, head {induction[1]}**, score {induction[2]:.2f}.
- Loss on the random tokens {scores.first_loss:.2f} nats, on their repetition {scores.repeated_loss:.2f} nats;
  {100 * scores.repeated_accuracy:.0f} % of the repetition is predicted right.

All heads (previous / induction; layers and heads count from 0):

{table(("layer", *(f"head {h}" for h in range(count))), rows)}"""


STORY_PROMPTS = (
    ("Once upon a time, there was a little girl", 1),
    ("One day, Tom and his dog", 2),
    ("The old king", 3),
)
CHAT_PROMPTS = ("Hello! My name is Anna.", "Tell me a story.", "Repeat after me: blue fish river")


def samples_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """Stories and chats with their seeds."""
    decoder = load(models, "decoder")
    say("decoder: samples")
    told = [samples.sample(decoder.model, decoder.tokenizer, prompt, seed) for prompt, seed in STORY_PROMPTS]
    said = [samples.chat_sample(decoder.model, decoder.tokenizer, message, 4) for message in CHAT_PROMPTS]
    stories = "\n\n".join(_quote(f"**{one.prompt}**{one.text}") + f"\n>\n> — seed {one.seed}" for one in told)
    chats = "\n\n".join(_quote(f"user: {one.prompt}\nassistant: {one.text.strip()}") for one in said)
    return f"""`model.generate` with the shipped generation settings (temperature 0.7, top-p 0.95) after
`torch.manual_seed(seed)`; first drawn, not chosen.

{stories}

In the chat template, seed 4:

{chats}"""


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in text.replace("\n", "\n\n").split("\n"))


def encoder_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """Cloze accuracy per file and a few guesses."""
    encoder = load(models, "encoder")
    rows = []
    for name in files(encoder, corpus):
        say(f"encoder: masked tokens of {name}")
        one = cloze.cloze_score(encoder.model, encoder.backend, corpus, name, most=effort.passages)
        rows.append([name, str(one.top1.trials), str(one.top1), str(one.top5), str(one.frequent), f"{one.loss:.2f}"])
    header = ("file", "masked tokens", "top-1 %", "top-5 %", "always the most frequent token %", "nats")
    mask = encoder.tokenizer.mask_token
    texts = (
        f"Once upon a {mask}, there was a little girl.",
        f"Tom was very {mask} because he lost his toy.",
        f"The bird can {mask} high in the sky.",
        f"Lily went to the {mask} to play with her friends.",
        f"She opened {mask} eyes and looked around.",
    )
    shown = [
        [
            text.replace(mask, "▢"),
            ", ".join(f"{word} {100 * p:.0f} %" for word, p in cloze.guesses(encoder.model, encoder.tokenizer, text)),
        ]
        for text in texts
    ]
    return f"""15 % of the tokens of up to {effort.passages} held-out passages of 128 tokens a file are masked;
95 % Wilson intervals.

{table(header, rows)}

{table(("text", "first five guesses"), shown)}"""


def seq2seq_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """Span restoration, tasks, cross-attention."""
    shipped = load(models, "seq2seq")
    rows: list[list[str]] = []
    first: list[spans.Pair] = []
    for name in files(shipped, corpus):
        say(f"seq2seq: spans of {name}")
        pairs = spans.passages(corpus, name, shipped.backend, effort.passages)
        first = first or pairs
        one = spans.span_score(shipped.model, name, pairs)
        lengths = [str(one.by_length[key]) for key in ("1", "2", "3+")]
        rows.append([name, str(one.exact.trials), str(one.exact), *lengths, str(one.tokens), f"{one.loss:.2f}"])
    header = ("file", "spans", "exact %", "of 1 token", "of 2", "of 3 or more", "tokens %, true ones given", "nats")
    say("seq2seq: tasks")
    done = [[name, str(p.trials), str(p)] for name, p in _tasks(shipped, corpus, effort)]
    say("seq2seq: cross-attention")
    entropy = spans.cross_attention(load(models, "seq2seq", "eager").model, first[:20]).entropy
    layers = [[str(layer), *(f"{value:.2f}" for value in entropy[layer])] for layer in range(entropy.shape[0])]
    text = "Lily went to the <extra_id_0> to play with <extra_id_1> friends. They were very <extra_id_2>."
    made = spans.generate(shipped.model, [shipped.tokenizer(text).input_ids], 40)[0]
    return f"""**Span corruption** of up to {effort.passages} held-out passages of at most 128 tokens a file
(15 %, spans of 3 on average), generated greedily:

{table(header, rows)}

Example: `{text}` → `{shipped.tokenizer.decode(made)}`

**Tasks**, answered word for word (greedy; case and final full stop aside):

{table(("task", "trials", "right %"), done)}

**Cross-attention**: entropy over the source tokens divided by that of an even spread (1 = uniform,
0 = one token), mean over the true targets of 20 passages, per layer and head:

{table(("layer", *(f"head {h}" for h in range(entropy.shape[1]))), layers)}"""


def _tasks(shipped: Shipped, corpus: Corpus, effort: Effort) -> list[tuple[str, Any]]:
    rng = np.random.default_rng(8)
    sets = {
        "answer, fairy tales, held-out sections": tasks.fairy_tale_questions(corpus, held_out=True)[: effort.tasks],
        "answer, new generated stories": [tasks.generated_question(rng) for _ in range(effort.tasks)],
        "summarize, new generated stories": [tasks.generated_summary(rng) for _ in range(effort.tasks)],
    }
    for kind, family in tasks.classifiers(corpus, held_out=True).items():
        trained = "trained words" if kind == "word" else "held-out sentences"
        note = "new generated sentences" if family.make else trained
        one = {kind: family}
        sets[f"classify {kind}, {len(family.labels)} labels, {note}"] = [
            tasks.classification(rng, one) for _ in range(effort.tasks)
        ]
    return [
        (name, spans.task_accuracy(shipped.model, shipped.backend, wanted)) for name, wanted in sets.items() if wanted
    ]


_SECTIONS: tuple[tuple[str, str, Callable[[Path, Corpus, Effort, Say], str]], ...] = (
    ("decoder", "Text", language_section),
    ("decoder", "Learning in context", icl_section),
    ("decoder", "Heads", heads_section),
    ("decoder", "Samples", samples_section),
    ("encoder", "Masked tokens", encoder_section),
    ("seq2seq", "Spans, tasks, attention", seq2seq_section),
    ("draft", "Text", draft_text_section),
    ("draft", "Guesses", guesses_section),
)


def section(index: int, models: Path, corpus: Corpus, effort: Effort, say: Say, cache: Path | None = None) -> str:
    """One section, measured anew unless the cache holds it for the very same weights and effort."""
    kind, title, measure = _SECTIONS[index]
    if cache is None:
        return measure(models, corpus, effort, say)
    measured = (kind, TEACHER) if kind == "draft" else (kind,)
    weights = b"".join((models / one / "model.safetensors").read_bytes() for one in measured)
    digest = hashlib.sha256(weights + f"{title} {effort}".encode()).hexdigest()[:16]
    path = cache / f"{kind}-{digest}.md"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(measure(models, corpus, effort, say), "utf-8")
    return path.read_text("utf-8")


def _training_note(records: Sequence[dict[str, Any]]) -> str:
    on_cpu = [one["name"] for one in records if one["machine"]["device"] == "cpu"]
    remarks = "".join(f"\n- {one['name']}: {one['remark']}" for one in records if one.get("remark"))
    note = (
        f"**Trained on CPU**: {', '.join(on_cpu)}. The times above are all they had; retrain them "
        "with the same command on a CUDA device and a larger budget, and they will do better."
        if on_cpu
        else "Trained on a GPU."
    )
    return note + (f"\n\nRemarks made at the time of training:\n{remarks}" if remarks else "")


def compose(models: Path, corpus: Corpus, effort: Effort, say: Say, cache: Path | None = None) -> str:
    """The whole report."""
    records = [json.loads((models / kind / RECORD).read_text("utf-8")) for kind in AUTO]
    parts = []
    for index, (kind, title, _) in enumerate(_SECTIONS):
        if kind not in [one for one, _, _ in _SECTIONS[:index]]:
            parts.append(f"## {kind}: {next(one['name'] for one in records if one['kind'] == kind)}")
        parts.append(f"### {title}\n{section(index, models, corpus, effort, say, cache)}\n")
    body = "\n".join(parts)
    return f"""# The bundled models, measured

Written by `python -m llmlab.training report` from the weights in this folder, loaded in float32. Held-out
documents and sentences are chosen by a hash of their text and are never trained on.

## How they were trained
{training_table(records)}

{_training_note(records)}

{body}"""


def write_report(
    models: Path,
    corpus: Corpus,
    effort: Effort | None = None,
    say: Say = lambda text: None,
    cache: Path | None = None,
) -> Path:
    """Measure everything and write ``models/REPORT.md``.

    ``cache`` is a folder for the parts, so that only models whose weights changed are measured again.
    """
    began = time.monotonic()
    path = models / "REPORT.md"
    path.write_text(compose(models, corpus, effort or Effort(), say, cache), "utf-8")
    say(f"measured in {time.monotonic() - began:.0f} s")
    return path
