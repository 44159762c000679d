"""A conversation is read as transformers' `apply_chat_template` has it, and answered by the same loop as any text."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tokenizers import processors

from llmlab.engine import Engine
from llmlab.engine.errors import InputError
from tests.engine import checkpoints, tiny

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MESSAGES = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Once upon a time"}]


def chatty(*, begins: bool, template: str | None = CHATML) -> Engine:
    """A model with a chat template; `begins`: its tokenizer puts a token before every text."""
    tokenizer = copy.deepcopy(checkpoints.tokenizer())
    tokenizer.chat_template = template
    if begins:
        tokenizer.bos_token = tokenizer.convert_ids_to_tokens(0)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, 0)]
        )
    return tiny.wrap(copy.deepcopy(checkpoints.make("llama")), tokenizer, context=128)


def test_a_conversation_is_rendered_and_read_as_transformers_does() -> None:
    for begins, template in ((False, CHATML), (True, "{{ bos_token }}" + CHATML)):
        engine = chatty(begins=begins, template=template)
        tokenizer: Any = engine.loaded.tokenizer
        rendered = engine.chat_prompt(MESSAGES)
        want = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=True)
        assert rendered.ids == tuple(want["input_ids"])
        assert rendered.text == tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
        assert rendered.plain is not None
        assert engine.tokenize(rendered.plain).ids.tolist() == list(rendered.ids), "no second token at the beginning"


def test_an_answer_is_what_transformers_generates() -> None:
    engine = chatty(begins=True, template="{{ bos_token }}" + CHATML)
    rendered = engine.chat_prompt(MESSAGES)
    steps = list(engine.generate(rendered.text, add_special_tokens=False, do_sample=False, max_new_tokens=8))
    with torch.inference_mode():
        out = engine.loaded.model.generate(
            input_ids=torch.tensor([rendered.ids]), do_sample=False, max_new_tokens=8, pad_token_id=1
        )
    assert [step.token_id for step in steps] == out[0, len(rendered.ids) :].tolist()


def test_after_the_assistants_words_no_answer_is_begun() -> None:
    engine = chatty(begins=False)
    answered = [*MESSAGES, {"role": "assistant", "content": "there was"}]
    assert engine.chat_prompt(answered).text.endswith("there was<|im_end|>\n")
    assert engine.chat_prompt(MESSAGES).text.endswith("assistant\n")


def test_what_cannot_be_read_as_a_prompt_says_so() -> None:
    engine = chatty(begins=True)  # a template that forgets the token which the tokenizer adds to every text
    assert engine.chat_prompt(MESSAGES).plain is None


def test_a_model_without_a_template_takes_part_in_no_conversation() -> None:
    engine = tiny.engine("llama")
    assert not engine.has_chat_template
    assert chatty(begins=False).has_chat_template
    with pytest.raises(InputError, match="no chat template"):
        engine.chat_prompt(MESSAGES)
