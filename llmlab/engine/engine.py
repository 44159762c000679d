"""The engine: one loaded model, and everything that can be asked of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Unpack

from torch import Tensor

from llmlab.engine import assisted as assisting
from llmlab.engine import beams, chat, embedding, fingerprint, generation, logits, lookup, scoring, tokenization
from llmlab.engine import sweep as sweeping
from llmlab.engine.attention import ablation, cost, lens, repeats
from llmlab.engine.attention import capture as attention
from llmlab.engine.attention import inputs as attention_inputs
from llmlab.engine.attention.captured import AttentionCapture
from llmlab.engine.attention.types import (
    AttentionCost,
    AttentionRequest,
    Effect,
    HeadAt,
    LayerEffects,
    Lens,
    LensPosition,
)
from llmlab.engine.chat import ChatPrompt
from llmlab.engine.devices import memory_use, release_memory
from llmlab.engine.errors import ModelNotFoundError
from llmlab.engine.loading import LoadedModel, load
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import completion_ids, guarded
from llmlab.engine.sampling import GenerationSettings, Knobs, SamplingSettings
from llmlab.engine.shelf import Shelf
from llmlab.engine.sorted_logits import Captured
from llmlab.engine.static_cache import Recorder
from llmlab.engine.static_steps import StaticSteps
from llmlab.engine.tokens.types import EmbeddingMap, HiddenPath, Neighbours
from llmlab.engine.types import (
    Architecture,
    BeamStep,
    DraftStep,
    Float32,
    Float64,
    GenerationStep,
    MemoryUse,
    ModelInfo,
    ModelRequest,
    NextToken,
    ScoredContinuation,
    TokenizedText,
)

CAPTURES = 2  # captures of attention that are remembered


class Engine:
    """A model in memory. Arguments carry transformers' names; results are numpy arrays and Python scalars.

    Not for several threads at once. Every method may raise OutOfMemoryError, after giving back what it had taken,
    and UnsupportedFeatureError where the architecture does not offer what is asked for.
    """

    def __init__(self, loaded: LoadedModel, recorder: Recorder | None = None) -> None:
        """`recorder` records the passes that read one token; by default that is done on CUDA devices only."""
        self._loaded: LoadedModel | None = loaded
        self._info = loaded.info
        self._speller = tokenization.Speller(loaded.tokenizer, loaded.info.vocabulary)
        self._shelf = Shelf()
        self._steps = StaticSteps.of(loaded) if recorder is None else StaticSteps(loaded, recorder)
        self._draft: LoadedModel | None = None  # of assisted decoding
        self._weights_sha256: str | None = None
        self._map: EmbeddingMap | None = None
        self._captures: OrderedDict[AttentionRequest, AttentionCapture] = OrderedDict()  # the last used last

    @classmethod
    def open(
        cls,
        spec: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantization: str | None = None,
        double_quantization: bool = False,
        offline: bool = False,
        control: Control = UNCONTROLLED,
    ) -> Engine:
        """Open a bundled model (`bundled:decoder` …), a folder or a hub id. Raises an EngineError."""
        return cls(load(ModelRequest(spec, device, dtype, quantization, double_quantization, offline), control))

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._info

    @property
    def loaded(self) -> LoadedModel:
        """The model, its tokenizer and where its inputs go. Raises ModelNotFoundError once closed."""
        if self._loaded is None:
            raise ModelNotFoundError("The model was closed.", "Open it again.")
        return self._loaded

    def close(self) -> None:
        """Give the model's memory back."""
        self._shelf.clear()
        if self._steps is not None:
            self._steps.clear()
        self._loaded = self._draft = self._steps = None
        self._captures.clear()
        release_memory()

    def memory_use(self) -> MemoryUse:
        """Bytes in use now."""
        return memory_use(self.loaded)

    def weights_sha256(self, control: Control = UNCONTROLLED) -> str:
        """A hash of all weights as they are in memory; computed once, about a second for 1 GB."""
        if self._weights_sha256 is None:
            self._weights_sha256 = fingerprint.weights_sha256(self.loaded, control)
        return self._weights_sha256

    def tokenize(self, text: str) -> TokenizedText:
        """`text` as the model reads it. Raises InputError for lone surrogates."""
        return tokenization.tokenize(self.loaded.tokenizer, self._speller, text)

    def token_texts(self, ids: Iterable[int]) -> tuple[str, ...]:
        """The text that each token stands for on its own; bytes that are no whole character as <0xE2>."""
        return self._speller.texts(ids)

    def vocabulary_texts(self) -> tuple[str, ...]:
        """The text of every id that the logits have a place for; about 0.2 s for 152,000, then remembered."""
        return self._speller.vocabulary()

    def generation_config(self) -> dict[str, object]:
        """What the model's own generation_config.json says beyond transformers' defaults, as JSON values."""
        config = getattr(self.loaded.model, "generation_config", None)
        return dict(config.to_diff_dict()) if config is not None else {}

    def word_ids(self, words: Sequence[str]) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Of each word the token sequences it may be written with: after a space, and as it stands.

        They are what `bad_words_ids` and `sequence_bias` take. Raises InputError for lone surrogates.
        """
        target = self.info.architecture is Architecture.ENCODER_DECODER
        return tuple(tokenization.word_ids(self.loaded.tokenizer, word, target=target) for word in words)

    def next_token(
        self,
        text: str,
        **knobs: Unpack[Knobs],
    ) -> NextToken:
        """The distribution of the token after `text`, or of an answer's first token where there is an encoder.

        `knobs` are those of `SamplingSettings`: temperature, top_k, top_p, repetition_penalty and so on, none of which
        does anything unless given. Raises InputError for a text or a setting that makes no sense.
        """
        settings = SamplingSettings(**knobs)
        return guarded(lambda: logits.next_token(self.loaded, text, settings))

    def distribution(self, text: str, control: Control = UNCONTROLLED) -> Captured:
        """The sorted logits of the next token or, of an encoder-only model, of each masked position.

        `sampling.shape` turns them into distributions without asking the model again. Raises InputError.
        """
        return guarded(lambda: logits.distribution(self.loaded, self._speller, text, control))

    def generate(
        self,
        text: str,
        *,
        max_new_tokens: int = 50,
        seed: int = 0,
        stop: Sequence[str] = (),
        overflow: str = "stop",
        given: Sequence[int] = (),
        known: int = 0,
        capture: bool = False,
        keep_cache: bool = False,
        add_special_tokens: bool = True,
        cuda_graphs: bool = True,
        control: Control = UNCONTROLLED,
        **knobs: Unpack[Knobs],
    ) -> Iterator[GenerationStep]:
        """Continue `text`, or answer it where there is an encoder, one step at a time.

        `knobs` are those of `SamplingSettings`: do_sample, temperature, top_k, top_p, repetition_penalty and so on.
        Where the context window is full the completion stops, or `overflow` lets it slide or refuses it beforehand.
        The same text, settings and seed give the same completion, whatever else ran meanwhile. `capture` keeps the
        whole sorted logits with each step. `add_special_tokens=False` reads `text` as it stands, which has its special
        tokens written out then. On a CUDA device tokens are read by a recorded pass, a CUDA graph over a static cache,
        where that pays and gives the same as a plain one; `step.computed` says so, and `cuda_graphs=False` has all of
        them plain. A branch begins with the tokens `given`, of which the first `known` are not
        told again; with `keep_cache` it reads little more than what is new in it, if the completion that it parts from
        was made with `keep_cache` too. Every token's random number depends on seed and place alone, so a branch with
        nothing but known tokens given repeats the rest. Raises InputError at once for what makes no sense, and
        Cancelled between steps where `control` says so.
        """
        sampling = SamplingSettings(**knobs)
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        settings = GenerationSettings(sampling, max_new_tokens, seed, stops, overflow, cuda_graphs)
        return generation.generate(
            self.loaded,
            self._speller,
            text,
            settings,
            beginning=generation.Beginning(tuple(given), known),
            capture=capture,
            special=add_special_tokens,
            shelf=self._shelf if keep_cache else None,
            steps=self._steps if cuda_graphs else None,
            control=control,
        )

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was made to take part in conversations."""
        return chat.has_template(self.loaded)

    def chat_prompt(self, messages: Sequence[Mapping[str, str]]) -> ChatPrompt:
        """What the model reads to answer `messages`, each with a role and a content, by its own chat template.

        Give `text` to `generate` with `add_special_tokens=False`. Raises InputError where there is no template, or
        where it fails; it is run in a process of its own, for at most two seconds.
        """
        return chat.chat_prompt(self.loaded, messages)

    def sweep(
        self, text: str, settings: Sequence[GenerationSettings], control: Control = UNCONTROLLED
    ) -> Iterator[tuple[int, GenerationStep]]:
        """Complete `text` once with each of `settings`, side by side; each step comes with its settings' number.

        But for rounding each is what `generate` writes. Raises InputError at once, and Cancelled between steps.
        """
        return sweeping.sweep(self.loaded, self._speller, text, settings, control)

    def beam_search(
        self,
        text: str,
        *,
        num_beams: int = 4,
        max_new_tokens: int = 50,
        length_penalty: float = 1.0,
        early_stopping: bool | Literal["never"] = False,
        seed: int = 0,
        control: Control = UNCONTROLLED,
        **knobs: Unpack[Knobs],
    ) -> Iterator[BeamStep]:
        """Search for the most probable text, one step at a time, with all candidates that were looked at.

        The last step has the `num_beams` best texts, the first of which is that of transformers' `generate`. `knobs`
        are those of `SamplingSettings`, but that nothing is drawn unless `do_sample` is given: then it is beam
        sampling. Raises InputError at once for what makes no sense, and Cancelled between steps where `control` says
        so.
        """
        sampling = replace(SamplingSettings(**knobs), do_sample=knobs.get("do_sample", False))
        settings = beams.BeamSettings(num_beams, max_new_tokens, length_penalty, early_stopping, sampling, seed)
        return beams.beam_search(self.loaded, self._speller, text, settings, control)

    def prompt_lookup(
        self, text: str, *, max_new_tokens: int = 50, num_tokens: int = 10, control: Control = UNCONTROLLED
    ) -> Iterator[DraftStep]:
        """Greedy decoding that proposes up to `num_tokens` tokens from the text itself and checks them in one pass.

        Raises InputError at once for what makes no sense, and Cancelled between passes where `control` says so.
        """
        return lookup.prompt_lookup(self.loaded, self._speller, text, max_new_tokens, num_tokens, control)

    def assisted(
        self,
        text: str,
        *,
        draft: str | None = None,
        num_tokens: int = 5,
        max_new_tokens: int = 50,
        seed: int = 0,
        control: Control = UNCONTROLLED,
        **knobs: Unpack[Knobs],
    ) -> Iterator[DraftStep]:
        """Let the model `draft`, a spec as `open` takes it, guess up to `num_tokens` tokens; check them in one pass.

        None is this model itself. The draft model is opened in the same precision on the same device and stays open
        until another one is named. With `do_sample=False` the text is greedy's; sampled, it follows the distribution
        that `knobs` make. Raises InputError at once for what makes no sense, UnsupportedModelError for a model with
        other tokens, whatever `open` raises, and Cancelled between passes where `control` says so.
        """
        settings = GenerationSettings(SamplingSettings(**knobs), max_new_tokens, seed)
        model = self.loaded if draft is None else self._draft_model(draft, control)
        return assisting.assisted(self.loaded, model, self._speller, text, settings, num_tokens, control)

    def _draft_model(self, spec: str, control: Control) -> LoadedModel:
        request = replace(self.info.request, spec=spec, quantization=None, double_quantization=False)
        if self._draft is None or self._draft.info.request != request:
            if self._draft is not None:
                self._draft = None
                release_memory()
            self._draft = load(request, control)
        return self._draft

    def completion_ids(self, text: str, completion: str) -> tuple[int, ...]:
        """The tokens of `completion` as it follows `text`, to be `given` to `generate`. Raises InputError."""
        return tuple(completion_ids(self.loaded, text, completion))

    def attention(self, text: str, target: str | None = None, control: Control = UNCONTROLLED) -> AttentionCapture:
        """What every head attends to while the model reads `text`; weights are computed when asked for.

        Of an encoder-decoder model the decoder reads its start token and then `target`. Raises InputError.
        """
        return self.captured(AttentionRequest(text, target), control)

    def captured(self, request: AttentionRequest, control: Control = UNCONTROLLED) -> AttentionCapture:
        """What every head attends to while the model reads what `request` says; the last two are remembered.

        Raises InputError for a text that is too long or that this kind of model cannot read.
        """
        if request not in self._captures:
            while len(self._captures) >= CAPTURES:
                self._captures.popitem(last=False)
            captured = guarded(
                lambda: attention.capture(self.loaded, self._speller, request, control), self._captures.clear
            )
            self._captures[request] = captured
        self._captures.move_to_end(request)
        return self._captures[request]

    def head_scores_on_repeats(self, control: Control = UNCONTROLLED) -> tuple[Float32, Float32]:
        """(previous, induction), float32 (layers, heads): which heads look at the token before, and which continue a
        repetition, measured on random tokens that come twice (Olsson et al. 2022); always the same tokens.

        Raises UnsupportedFeatureError where the model is not decoder-only.
        """
        return guarded(lambda: repeats.head_scores_on_repeats(self.loaded, control))

    def attention_cost(self, request: AttentionRequest) -> AttentionCost:
        """The tokens and the memory that `captured` would take; nothing is computed. Raises as `captured`,
        but not for a text that is too long: that is what it tells.
        """
        return cost.cost(self.loaded, self._speller, request)

    def ablation(
        self, request: AttentionRequest, off: Collection[HeadAt], control: Control = UNCONTROLLED
    ) -> tuple[Effect, ...]:
        """The prediction with and without the heads `off`: of the next token or, of an encoder, at each mask.

        Raises InputError for a head that is not there or a text without a mask.
        """
        return guarded(lambda: ablation.ablation(self.loaded, self._speller, self._given(request), off, control))

    def ablation_effects(
        self,
        request: AttentionRequest,
        control: Control = UNCONTROLLED,
        *,
        known: Collection[tuple[str, int]] = (),
    ) -> Iterator[LayerEffects]:
        """The effect of removing every head and every layer's attention alone, layer by layer as it is found.

        Layers that are `known`, by kind and number, are left out. Raises as `ablation`.
        """
        return ablation.ablation_effects(self.loaded, self._given(request), control, known=known)

    def logit_lens(
        self,
        request: AttentionRequest,
        positions: tuple[int, int] | None = None,
        best: int = 5,
        control: Control = UNCONTROLLED,
    ) -> Lens:
        """What the model would predict from the hidden states between its layers, at `positions` (start, stop).

        Of an encoder-decoder model these are the decoder's. Raises InputError for positions that are not there.
        """
        given = self._given(request)
        return guarded(lambda: lens.logit_lens(self.loaded, self._speller, given, positions, best, control))

    def lens_position(self, request: AttentionRequest, position: int, control: Control = UNCONTROLLED) -> LensPosition:
        """How every token that is first somewhere between the layers fares at `position`. Raises as `logit_lens`."""
        return guarded(lambda: lens.lens_position(self.loaded, self._speller, self._given(request), position, control))

    def _given(self, request: AttentionRequest) -> dict[str, Tensor]:
        return attention_inputs.read(self.loaded, self._speller, request).tensors(self.loaded)

    def score(self, text: str, continuations: Sequence[str], control: Control = UNCONTROLLED) -> Float64:
        """Exact log-probability of each continuation, float64 (continuations,), natural logarithm.

        Raises InputError where text and continuation together exceed the context window.
        """
        return guarded(lambda: scoring.score(self.loaded, text, continuations, control))

    def score_tokens(
        self, text: str, continuations: Sequence[str], control: Control = UNCONTROLLED
    ) -> tuple[ScoredContinuation, ...]:
        """What `score` sums up, token by token, with each token's rank. Raises InputError as `score` does."""
        return guarded(lambda: scoring.score_tokens(self.loaded, self._speller, text, continuations, control))

    def embedding(self, ids: Sequence[int]) -> Float32:
        """The input embeddings of `ids`, float32 (ids, hidden). Raises InputError for a token that has none."""
        return guarded(lambda: embedding.embedding(self.loaded, ids))

    def neighbours(self, to: int | Float32, count: int = 20) -> Neighbours:
        """The tokens whose embeddings lie nearest by cosine to the token `to`, or to a vector (hidden,).

        Raises InputError for an id without an embedding, or a vector of another size or without a direction.
        """
        return guarded(lambda: embedding.neighbours(self.loaded, to, count))

    def vector_arithmetic(self, plus: Sequence[int], minus: Sequence[int] = (), count: int = 20) -> Neighbours:
        """What lies nearest to the sum of `plus` without `minus`, each with length 1. Raises InputError."""
        return guarded(lambda: embedding.vector_arithmetic(self.loaded, plus, minus, count))

    def embedding_map(self, control: Control = UNCONTROLLED) -> EmbeddingMap:
        """All embeddings in their first two principal components; computed once."""
        if self._map is None:
            self._map = guarded(lambda: embedding.embedding_map(self.loaded, control))
        return self._map

    def hidden_states(self, text: str, layer: int, control: Control = UNCONTROLLED) -> Float32:
        """Every token's vector after `layer` layers, float32 (tokens, hidden); 0 is before the first one.

        Of an encoder-decoder model these are the encoder's. Raises InputError for a layer that does not exist.
        """
        return guarded(lambda: embedding.hidden_states(self.loaded, text, layer, control))

    def hidden_path(self, text: str, token: int, control: Control = UNCONTROLLED) -> HiddenPath:
        """Every token's place in a plane after each layer, and the vectors of the one at `token`, in one pass.

        Raises InputError for a place that the text does not have.
        """
        return guarded(lambda: embedding.hidden_path(self.loaded, text, token, control))
