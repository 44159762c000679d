"""Prompts are composed as documented, templates do what they may and no more, and nothing is cut in part."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.children import RENDER_TEMPLATES
from llmlab.engine.errors import InputError
from llmlab.engine.shots import templates
from llmlab.engine.shots.budget import Prompts, dropped_in_words, prompt, refuse_overflow
from llmlab.engine.shots.compose import Composer, compose, pair
from llmlab.engine.shots.templates import Renderer, fields
from llmlab.engine.shots.types import (
    Example,
    Form,
    InstructionRole,
    Overflow,
    PartKind,
    PromptSpec,
    Rendered,
    Syntax,
)
from tests.engine import tiny

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ue000"), max_size=12)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=4)
CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def rows(pairs: Sequence[tuple[str, str]]) -> list[Example]:
    return [Example((("x", text),), answer) for text, answer in pairs]


def check_parts(rendered: Rendered) -> None:
    ends = [0, *(part.end for part in rendered.parts)]
    assert [part.start for part in rendered.parts] == ends[:-1]
    assert ends[-1] == len(rendered.text)


@settings(deadline=None)
@given(ROWS, TEXT, TEXT, TEXT, TEXT)
def test_the_documented_composition(
    pairs: list[tuple[str, str]], query: str, description: str, target_delimiter: str, fewshot_delimiter: str
) -> None:
    spec = PromptSpec(
        "Q: {x}\nA:",
        description.replace("{", "{{").replace("}", "}}"),
        target_delimiter=target_delimiter,
        fewshot_delimiter=fewshot_delimiter,
    )
    rendered = compose(spec, rows(pairs), Example((("x", query),)))
    shots = "".join(f"Q: {text}\nA:{target_delimiter}{answer}{fewshot_delimiter}" for text, answer in pairs)
    assert rendered.text == f"{description}{shots}Q: {query}\nA:"
    check_parts(rendered)
    for part in rendered.parts:
        if part.shot is not None:
            assert part.answer is not None
            assert rendered.text[slice(*part.answer)] == pairs[part.shot][1]
    context, continuation = pair(rendered, "yes")
    assert context + continuation == rendered.text + target_delimiter + "yes"
    assert context == context.rstrip()


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(["{x}", "{{", "}}", "{ x }"]), TEXT.filter(lambda t: not {*t} & {*"{}"}))))
def test_the_simple_form(pieces: list[str]) -> None:
    spelled = {"{x}": "value", "{ x }": "value", "{{": "{", "}}": "}"}
    want = "".join(spelled.get(piece, piece) for piece in pieces)
    assert Renderer(Syntax.FIELDS).render("".join(pieces), {"x": "value"}) == want


@settings(deadline=None)
@given(TEXT, TEXT)
def test_jinja_is_that_of_the_harness(value: str, literal: str) -> None:
    source = "{{ x.strip() | upper }}" + literal.translate({ord(c): None for c in "{}%#"}) + "{% if x %}y{% endif %}\n"
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    assert Renderer(Syntax.JINJA).render(source, {"x": value}) == environment.from_string(source).render(x=value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{x", "line 1, column 1"),
        ("a\nb}", "line 2, column 2"),
        ("{x{y}}", "single “{”"),
        ("{z}", "“z”"),
    ],
)
def test_simple_templates_that_are_wrong_say_where(source: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Renderer(Syntax.FIELDS).render(source, {"x": "value"})
    assert "{{" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ x", "line 1"),
        ("{{ z }}", "“?'?z'? is undefined"),
        ("{{ x.__class__ }}", "may not do"),
        ("{{ x.strip.__globals__ }}", "may not do|no attribute"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "may not do"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% include 'a' %}", "failed"),
        ("(" * 3 + "{{ " + "(" * 3000 + "x" + ")" * 3000 + " }}", "nested too deeply|failed|not valid"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "range|stopped|may not"),
        ("{{ '%5000000000d' % 1 }}", "stopped|failed"),
    ],
)
def test_jinja_that_fails_or_escapes_is_refused_in_words(source: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Renderer(Syntax.JINJA).render(source, {"x": "value"})


def test_templates_that_loop_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "SECONDS", 0.3)
    loop = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}"
    began = time.monotonic()
    with pytest.raises(InputError, match="stopped"):
        Renderer(Syntax.JINJA).render(loop + "{% endfor %}", {})
    assert time.monotonic() - began < 30


def test_many_rows_of_a_loop_take_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = templates.ask
    monkeypatch.setattr(templates, "ask", lambda *arguments: asked.append(1) or original(*arguments))
    spec = PromptSpec("{% for c in x %}{{ c }}.{% endfor %}", syntax=Syntax.JINJA, target_delimiter=" ")
    composer = Composer(spec)
    examples = rows([("ab", "1"), ("cd", "2")])
    composer.prepare(examples)
    assert composer.compose(examples[:1], examples[1]).text == "a.b. 1\n\nc.d."
    assert len(asked) == 1
    assert Renderer(Syntax.JINJA).render("{{ x | regex_replace('b+', 'c') }}", {"x": "abb"}) == "ac"


def test_fields_are_named() -> None:
    assert fields("{a} {{b}} { c }{a}", Syntax.FIELDS) == ("a", "c")
    assert fields("{{ a }} {% for b in range(3) %}{{ b }}{{ c.d }}{% endfor %}", Syntax.JINJA) == ("a", "c")


def test_unticked_shots_stay_out_and_targets_may_be_templates() -> None:
    shots = rows([("1", "one"), ("2", "two")])
    spec = PromptSpec("{x}", target="<{output}>", verbalizer=(("<two>", "TWO"),))
    rendered = compose(spec, [replace(shots[0], included=False), shots[1]], Example((("x", "3"),), "two"))
    assert rendered.text == "2 TWO\n\n3"
    assert rendered.used == (1,)
    assert rendered.dropped == ()
    assert rendered.answer == "TWO"


@pytest.mark.parametrize("syntax", list(Syntax))
def test_cloze_puts_the_word_at_the_mask(syntax: Syntax) -> None:
    slot, field = ("{mask}", "{x}") if syntax is Syntax.FIELDS else ("{{ mask }}", "{{ x }}")
    spec = PromptSpec(
        f"{field} It was {slot}.", form=Form.CLOZE, syntax=syntax, verbalizer=(("good", "great"),), labels=("good",)
    )
    rendered = compose(spec, rows([("Nice!", "good")]), Example((("x", "Hm."),)), mask="[M]")
    assert rendered.text == "Nice! It was great.\n\nHm. It was [M]."
    assert rendered.mask is not None
    assert rendered.text[slice(*rendered.mask)] == "[M]"
    assert rendered.parts[0].answer is not None
    assert rendered.text[slice(*rendered.parts[0].answer)] == "great"
    after = compose(replace(spec, template=f"{field} It was"), [], Example((("x", "Hm."),)), mask="[M]")
    assert after.text == "Hm. It was [M]"
    twice = replace(spec, template=f"{slot} {slot}")
    with pytest.raises(InputError, match="exactly one place"):
        compose(twice, [], Example((("x", "Hm."),)), mask="[M]")


def chat_engine(context: int | None = 256) -> tiny.Engine:
    engine = tiny.wrap(tiny.engine("llama").loaded.model, tiny.copy.deepcopy(tiny.byte_level()), context=context)
    engine.loaded.tokenizer.chat_template = CHATML
    return engine


def test_a_conversation_is_what_the_template_makes_of_its_turns() -> None:
    engine = chat_engine()
    spec = PromptSpec("{x}?", "Be brief.\n", form=Form.CHAT, labels=("yes", "no"))
    made = prompt(engine.loaded, spec, rows([("1", " yes"), ("user", "no")]), Example((("x", "3"),)))
    turns = [("system", "Be brief.\n"), ("user", "1?"), ("assistant", " yes"), ("user", "user?"), ("assistant", "no")]
    messages = [{"role": role, "content": content} for role, content in [*turns, ("user", "3?")]]
    want = engine.loaded.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert made.rendered.text == want
    check_parts(made.rendered)
    kinds = [part.kind for part in made.rendered.parts]
    assert kinds == [PartKind.FRAME, PartKind.INSTRUCTION, PartKind.SHOT, PartKind.SHOT, PartKind.QUERY, PartKind.FRAME]
    assert [made.rendered.text[slice(*part.answer)] for part in made.rendered.parts if part.answer] == ["yes", "no"]
    assert sum(each.tokens for each in made.budget.parts) == made.budget.tokens

    by_user = prompt(engine.loaded, replace(spec, instruction_role=InstructionRole.USER), [], Example((("x", "3"),)))
    assert by_user.rendered.text == "<|user|>Be brief.\n3?\n<|assistant|>"


def test_a_beginning_that_the_tokenizer_adds_is_not_doubled() -> None:
    engine = chat_engine()
    tokenizer = engine.loaded.tokenizer
    from tokenizers.processors import TemplateProcessing

    first = tokenizer.convert_ids_to_tokens(0)
    tokenizer.bos_token = first
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{first} $A", special_tokens=[(first, 0)])
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    made = prompt(engine.loaded, PromptSpec("{x}", form=Form.CHAT), [], Example((("x", "3"),)))
    assert made.rendered.text == "<|user|>3\n<|assistant|>"
    assert tokenizer(made.rendered.text)["input_ids"].count(0) == 1


def test_a_template_that_rewrites_messages_is_one_frame() -> None:
    engine = chat_engine()
    engine.loaded.tokenizer.chat_template = "{% for m in messages %}{{ m.content | upper | reverse }}{% endfor %}"
    made = prompt(engine.loaded, PromptSpec("{x}", form=Form.CHAT), rows([("a", "b")]), Example((("x", "c"),)))
    assert made.rendered.text == "ABC"
    check_parts(made.rendered)


@functools.cache
def endless() -> tiny.Engine:
    return tiny.wrap(tiny.engine("llama").loaded.model, tiny.byte_level(), context=None)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=3), TEXT)
def test_tokens_add_up(pairs: list[tuple[str, str]], query: str) -> None:
    engine = endless()
    made = prompt(engine.loaded, PromptSpec("{x}:", "Read.\n"), rows(pairs), Example((("x", query),)))
    assert made.budget.tokens == len(engine.tokenize(made.rendered.text))
    assert sum(each.tokens for each in made.budget.parts) == made.budget.tokens
    assert 0 <= made.budget.across <= len(made.budget.parts)


def test_a_token_over_a_boundary_is_counted_once() -> None:
    engine = tiny.engine("llama")
    spec = PromptSpec("time", fewshot_delimiter="", target_delimiter="")
    made = prompt(engine.loaded, spec, rows([("", "Once upon a ")]), Example((("x", ""),)))
    assert made.rendered.text == "timeOnce upon a time"
    last = engine.tokenize(made.rendered.text).offsets[-1].tolist()
    assert last[0] < len("timeOnce upon a ") < last[1]  # “ time” is one token
    assert made.budget.across == 1
    assert made.budget.parts[-1].tokens == 0


@pytest.mark.parametrize(("overflow", "kept"), [(Overflow.DROP_FIRST, "last"), (Overflow.DROP_LAST, "first")])
@pytest.mark.parametrize("form", [Form.TEXT, Form.CHAT])
def test_whole_shots_are_dropped_until_the_rest_fits(overflow: Overflow, kept: str, form: Form) -> None:
    engine = chat_engine(context=96)
    spec = PromptSpec("read {x}:", "Once upon a time.\n", overflow=overflow, room=16, form=form)
    shots = rows([(f"the same sentence {number}", "again") for number in range(9)])
    made = prompt(engine.loaded, spec, shots, Example((("x", "it"),)))
    count = len(made.rendered.used)
    assert 0 < count < 9
    assert made.budget.fits
    assert made.rendered.used == (tuple(range(9))[-count:] if kept == "last" else tuple(range(count)))
    assert sorted((*made.rendered.used, *made.rendered.dropped)) == list(range(9))
    assert str(made.rendered.dropped[0] + 1) in dropped_in_words(made)
    one_more = (9 - count - 1,) if kept == "last" else (count,)
    use = sorted((*made.rendered.used, *one_more))
    tighter = prompt(
        engine.loaded, replace(spec, overflow=Overflow.REFUSE), [shots[i] for i in use], Example((("x", "it"),))
    )
    assert not tighter.budget.fits
    with pytest.raises(InputError, match="96"):
        refuse_overflow(tighter)


def test_what_does_not_fit_without_shots_is_told_not_cut() -> None:
    engine = tiny.engine("llama")
    spec = PromptSpec("{x}", overflow=Overflow.DROP_LAST)
    made = Prompts(engine.loaded, spec).all(rows([("a", "b")]), [Example((("x", "word " * 300),))])[0]
    assert made.rendered.text == "word " * 300
    assert not made.budget.fits
    with pytest.raises(InputError, match="instruction or the query"):
        refuse_overflow(made)


def test_the_process_imports_nothing_heavy_and_is_part_of_the_program() -> None:
    code = (
        "import sys, llmlab.engine.shots.template_child; "
        "print([name for name in ('torch', 'transformers', 'numpy', 'PySide6') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    request = json.dumps({"templates": ["{{ x }}!"], "rows": [[0, {"x": "a"}], [0, {"x": "b"}]]})
    told = subprocess.run(
        [sys.executable, "-m", "llmlab", RENDER_TEMPLATES.argument],
        input=request + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == 'ready\n{"texts": ["a!", "b!"]}\n'


def test_the_window_needs_no_torch_to_compose_and_to_add_up() -> None:
    code = (
        "import sys, llmlab.engine.shots.compose, llmlab.engine.shots.plans, llmlab.engine.shots.summary; "
        "print([name for name in ('torch', 'transformers', 'jinja2', 'PySide6') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
