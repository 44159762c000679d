"""Python that does the same outside this window. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmlab.engine.types import Architecture, ModelInfo

if TYPE_CHECKING:
    from llmlab.ui.panels.tokens.vectors import Looked

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


def neighbours(info: ModelInfo, looked: Looked, place: int) -> str:
    """A script that prints the tokens whose input embeddings lie nearest to a vector.

    `place`: of the token among those the model reads; it matters only after a layer.
    """
    encoder = ".get_encoder()" if info.architecture is Architecture.ENCODER_DECODER else ""
    if looked.layer:
        vector = f"""inputs = tokenizer({looked.text!r}, return_tensors="pt")
with torch.inference_mode():
    states = model{encoder}(input_ids=inputs["input_ids"], output_hidden_states=True).hidden_states
vector = states[{looked.layer}][0, {place}].float()  # {looked.name} {looked.of_layer}"""
    else:
        vector = f"vector = weight[{looked.token_id}]  # {looked.name}"
    left_out = "" if looked.layer else f"cosines[{looked.token_id}] = -torch.inf  # not itself\n"
    return f"""import torch
from transformers import AutoModel
{loading(info.request.spec)}
model = AutoModel.from_pretrained(tokenizer.name_or_path, dtype=torch.{info.dtype}).eval()
weight = model.get_input_embeddings().weight.detach().float()
{vector}
cosines = torch.nn.functional.cosine_similarity(weight, vector[None])
{left_out}for cosine, token_id in zip(*cosines.topk(12)):
    print(f"{{cosine:.4f}}", int(token_id), repr(tokenizer.convert_ids_to_tokens(int(token_id))))
"""
