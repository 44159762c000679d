"""The chat tab: what is said is rendered by the model's template, answered, tried again and taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmlab.engine.chat import ChatPrompt
from llmlab.engine.errors import InputError
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.ui.panels.decoding.conversing import ASSISTANT, USER, ChatScreen, Conversing, Turn
from tests.presenters.decoding_fakes import FakeEngine, TabStand, model_info, ready


class Engine(FakeEngine):
    """Renders messages in angle brackets."""

    has_chat_template = True

    def chat_prompt(self, messages: Sequence[Mapping[str, str]]) -> ChatPrompt:
        self._fail()
        text = "".join(f"<{each['role']}>{each['content']}" for each in messages)
        return ChatPrompt(f"[start]{text}", tuple(range(len(text))), text)


class Page:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.screen = ChatScreen()
        self.typed = ""

    def show_chat(self, screen: ChatScreen) -> None:
        self.screen = screen

    def show_typed(self, text: str) -> None:
        self.typed = text


class Stand(TabStand):
    part: Conversing
    engine: Engine

    def __init__(self, info: ModelInfo | None = None, **saved: Any) -> None:
        super().__init__("chat", Page(), Engine(info or model_info()), max_new_tokens=3, seed=5, **saved)

    @property
    def screen(self) -> ChatScreen:
        screen: ChatScreen = self.page.screen
        return screen

    def say(self, text: str) -> None:
        self.part.send(text)
        self.jobs.run_all()


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_an_answer_follows_what_was_said(stand: Stand) -> None:
    stand.part.set_system("Be short.")
    stand.part.send("Hello")
    assert stand.screen.answering
    assert not stand.presenter.settled
    stand.jobs.run_all()
    asked = stand.engine.generated[-1]
    assert asked["text"] == "[start]<system>Be short.<user>Hello"
    assert (asked["add_special_tokens"], asked["seed"], asked["max_new_tokens"]) == (False, 5, 3)
    you, model = stand.screen.turns
    assert you == Turn(USER, "Hello")
    assert model.role == ASSISTANT
    assert model.text
    assert not stand.screen.answering
    assert "3 tokens" in stand.screen.status
    assert "seed 5" in stand.screen.status
    stand.say("And then?")
    assert stand.engine.generated[-1]["text"].endswith(f"<assistant>{model.text}<user>And then?")


def test_what_was_read_is_shown_copied_and_used(stand: Stand) -> None:
    stand.say("Hello")
    assert stand.screen.rendered == "[start]<user>Hello"
    assert stand.screen.tokens == len("<user>Hello")
    stand.part.copy("rendered")
    assert stand.view.copied[-1] == "[start]<user>Hello"
    stand.part.copy("conversation")
    assert stand.view.copied[-1].startswith("user: Hello\nassistant: ")
    stand.part.use()
    assert stand.bench.prompt == "<user>Hello", "without the token that the tokenizer adds itself"


def test_what_would_be_read_can_be_seen_before_anything_is_said(stand: Stand) -> None:
    stand.part.render()
    assert not stand.jobs.pending, "there is nothing to render"
    stand.part.set_system("Be short.")
    stand.part.render()
    stand.jobs.run_all()
    assert stand.screen.rendered == "[start]<system>Be short."
    stand.part.set_system("Be long.")
    assert stand.screen.rendered == "", "it holds no more"


def test_another_answer_has_the_next_seed(stand: Stand) -> None:
    stand.say("Hello")
    stand.part.retry()
    stand.jobs.run_all()
    assert [each["seed"] for each in stand.engine.generated] == [5, 6]
    assert [turn.role for turn in stand.screen.turns] == [USER, ASSISTANT]
    stand.say("More")
    assert stand.engine.generated[-1]["seed"] == 5


def test_the_last_words_come_back(stand: Stand) -> None:
    stand.say("Hello")
    stand.say("And then?")
    stand.part.take_back()
    assert stand.page.typed == "And then?"
    assert len(stand.screen.turns) == 2
    stand.part.clear()
    assert stand.screen.turns == ()
    assert not stand.screen.can_retry
    stand.part.take_back()
    stand.part.retry()
    assert not stand.jobs.pending


def test_stopping_keeps_what_was_said(stand: Stand) -> None:
    stand.engine.between = lambda index: stand.part.stop() if index == 1 else None
    stand.say("Hello")
    assert "stopped by you" in stand.screen.status
    assert stand.screen.turns[-1].text
    assert not stand.part.busy


def test_a_template_that_refuses_gives_the_words_back(stand: Stand) -> None:
    stand.engine.fails = InputError("The chat template refuses these messages.", "Change them.")
    stand.say("Hello")
    assert stand.page.typed == "Hello"
    assert stand.screen.turns == ()
    assert "refuses" in stand.notifier.errors[0].message
    stand.say("Hello")
    assert len(stand.screen.turns) == 2


def test_another_model_begins_anew(stand: Stand) -> None:
    stand.say("Hello")
    stand.part.send("More")
    stand.engine.has_chat_template = False
    ready(stand.bench, model_info(name="Other"), generation=2)
    stand.jobs.run_all()
    assert stand.screen.turns == ()
    assert not stand.part.busy
    assert "Other brings no chat template" in stand.screen.reason
    stand.part.send("Hello")
    assert not stand.jobs.pending


def test_a_model_that_fills_masks_cannot_answer() -> None:
    stand = Stand(model_info(Architecture.ENCODER))
    assert "cannot answer" in stand.screen.reason


def test_what_the_model_is_told_first_is_found_again(stand: Stand) -> None:
    stand.part.set_system("Be short.")
    assert Stand(system=stand.presenter.save()["system"]).part.system == "Be short."
