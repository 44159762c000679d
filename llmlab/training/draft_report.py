"""The draft model's part of the report: what it knows, and how many of its guesses the decoder accepts."""

from __future__ import annotations

from math import exp
from pathlib import Path

import torch

from llmlab.engine import Engine
from llmlab.training.corpus import Corpus
from llmlab.training.distillation import TEACHER
from llmlab.training.evaluate import acceptance, language
from llmlab.training.evaluate.text import held_out
from llmlab.training.shipped import Effort, Say, files, load, table
from llmlab.training.tokenizer import END_OF_TEXT, ID

PROMPTS = 50  # beginnings of held-out stories
PROMPT_TOKENS = 16
STORIES = "01_tinystories_slice"


def draft_text_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """Held-out perplexity per file, beside the decoder's, and how far the two are apart."""
    draft, decoder = load(models, "draft"), load(models, TEACHER)
    rows = []
    for name in files(draft, corpus):
        say(f"draft: held-out text of {name}")
        text = held_out(corpus, name, draft.backend, effort.tokens)
        both = [exp(language.total_nats(one.model, text) / text.tokens) for one in (draft, decoder)]
        apart = acceptance.mean_divergence(decoder.model, draft.model, text.documents[:20], ID[END_OF_TEXT])
        rows.append([name, f"{text.tokens:,}", f"**{both[0]:.1f}**", f"{both[1]:.1f}", f"{apart:.2f}"])
    header = ("file", "tokens", "perplexity", "of the decoder", "KL(decoder ‖ draft), nats a token")
    return f"""The held-out documents of the decoder's table, read in the same way. The divergence, over up to 20
documents a file, is what the training made small, though mostly on texts that the decoder wrote itself.

{table(header, rows)}"""


def guesses_section(models: Path, corpus: Corpus, effort: Effort, say: Say) -> str:
    """The share of accepted guesses, tokens in a pass, and the speed beside plain decoding."""
    count = min(PROMPTS, effort.trials)
    engine = Engine.open(str(models / TEACHER), device="cpu", dtype="float32")
    prompts = held_out_prompts(corpus, load(models, TEACHER).tokenizer, count)
    rows, plain = [], []
    for sampled in (False, True):
        how = "sampled" if sampled else "greedy"
        say(f"draft: {how} guesses")
        found = acceptance.acceptance(engine, str(models / "draft"), prompts, sampled)
        plain.append(f"{found[0].plain_speed:.0f} tokens/s {how}")
        for one in found:
            times = f"{one.speed / one.plain_speed:.2f}"
            rows.append(
                [how, f"{one.guesses}", f"{one.accepted}", f"{one.tokens_per_pass:.2f}", f"{one.speed:.0f}", times]
            )
    header = ("text", "guesses a pass", "accepted %", "tokens a pass", "tokens/s", "× the speed of plain decoding")
    own = engine.loaded.model.generation_config
    threads = torch.get_num_threads()
    return f"""The decoder continues the first {PROMPT_TOKENS} tokens of {len(prompts)} held-out stories by up to
{acceptance.NEW_TOKENS} tokens, greedily and sampled with its own settings (temperature {own.temperature}, top-p
{own.top_p}); 95 % Wilson intervals. Guesses after the first that is not accepted count as not accepted. One pass of
the decoder gives the accepted guesses and one token more.

{table(header, rows)}

Speed: float32 on a CPU with {threads} thread{"" if threads == 1 else "s"}, every prompt plain and assisted in turn.
Plain decoding made {" and ".join(plain)}.
{_verdict([float(row[-1]) for row in rows])}"""


def held_out_prompts(corpus: Corpus, tokenizer: object, count: int) -> list[str]:
    """The beginnings of held-out stories, each of PROMPT_TOKENS tokens."""
    backend = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    wanted = held_out(corpus, STORIES, backend, count * PROMPT_TOKENS, PROMPT_TOKENS, PROMPT_TOKENS)
    return [backend.decode(list(ids)) for ids in wanted.documents[:count]]


def _verdict(times: list[float]) -> str:
    if max(times) <= 1.0:
        return (
            "Assisted decoding is slower here in every row: the decoder is so small that reading one token takes it "
            "hardly longer than the draft model, so that fewer passes do not pay for the guesses."
        )
    if min(times) > 1.0:
        return "Assisted decoding is faster here in every row."
    return (
        f"Assisted decoding is between {min(times):.2f} and {max(times):.2f} times as fast here: it pays where few "
        "guesses are made in vain."
    )
