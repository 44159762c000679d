"""The narrow column of the calculator: which model, what is done with it, on how many GPUs."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QMenu, QWidget

from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.formats import CACHE_FORMATS
from llmlab.engine.memory.optimizers import Implementation, Optimizer
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import Offload, Strategy
from llmlab.engine.memory.training import Precision
from llmlab.engine.types import Architecture
from llmlab.ui.panels.memory.calculator.params import LIMITS, PRECISIONS, PURPOSES, Params
from llmlab.ui.panels.memory.calculator.screen import Source
from llmlab.ui.widgets.column import ControlColumn, FactList, combo_box, group
from llmlab.ui.widgets.fold import Fold
from llmlab.ui.widgets.parts import Choice, icon_button, row
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider
from llmlab.ui.words import in_lines


def _scale(name: str, *, logarithmic: bool = True) -> Scale:
    low, high = LIMITS[name]
    return Scale(low, high, logarithmic=logarithmic)


DEFAULTS = Params()
KNOBS = {
    "tokens": Knob("Context", _scale("tokens"), DEFAULTS.tokens, "Tokens of prompt and completion in each sequence"),
    "batch": Knob("Batch", _scale("batch"), DEFAULTS.batch, "Sequences that are worked on at once, on each GPU"),
    "source_tokens": Knob(
        "Source", _scale("source_tokens"), DEFAULTS.source_tokens, "Tokens that the encoder reads", off=0, off_text="0"
    ),
    "prefill": Knob(
        "Read at once", _scale("prefill"), DEFAULTS.prefill,
        "How many tokens of the prompt are read in one go; smaller pieces need less working memory",
        off=0, off_text="all",
    ),
    "lora_rank": Knob(
        "LoRA rank", _scale("lora_rank"), DEFAULTS.lora_rank,
        "Train small matrices of this rank beside the frozen weights (LoRA); off trains all parameters", off=0,
    ),
    "micro_batches": Knob(
        "Micro-batches", _scale("micro_batches"), DEFAULTS.micro_batches,
        "Batches whose gradients add up before the optimizer's step (gradient accumulation): from two on the gradients "
        "are there beside the activations",
    ),
    "gpus": Knob("GPUs", _scale("gpus"), DEFAULTS.gpus, "How many GPUs train together"),
    "node": Knob(
        "GPUs in a machine", _scale("node"), DEFAULTS.node, "Where HYBRID_SHARD shares out; it copies between machines"
    ),
    "tensor_parallel": Knob(
        "Tensor parallel", _scale("tensor_parallel"), DEFAULTS.tensor_parallel,
        "GPUs that compute each layer together, with sequence parallelism; the others share by the strategy",
    ),
    "context_mib": Knob(
        "CUDA context (MiB)", _scale("context_mib", logarithmic=False), DEFAULTS.context_mib,
        "What driver and kernels take before the first tensor: 140 MiB on a T4, up to 1.3 GiB with older libraries",
        step=10,
    ),
    "margin": Knob(
        "Fragmentation (%)", _scale("margin", logarithmic=False), DEFAULTS.margin,
        "Added to everything but the CUDA context: the allocator rounds blocks up and keeps freed ones",
    ),
}  # fmt: skip
CACHES = {name: (name, kept.note or f"{kept.bits:g} bits for each element") for name, kept in CACHE_FORMATS.items()}
CONVENTIONS = {
    "transformers": ("transformers", "Sliding layers drop what has left their window"),
    "paged": ("paged (vLLM)", "Whole pages of 16 tokens, in sliding layers too"),
}
TRAIN_PRECISIONS = {
    Precision.FLOAT32: ("float32", "Everything in float32"),
    Precision.AUTOCAST: ("autocast (16-bit)", "float32 weights, cast to 16 bits as they are used: torch.autocast"),
    Precision.MASTER: (
        "16-bit + float32 master",
        "16-bit weights and gradients, a float32 copy in the optimizer: DeepSpeed, Megatron",
    ),
    Precision.BFLOAT16: ("pure bfloat16", "Weights, gradients and optimizer states in 16 bits"),
}
IMPLEMENTATIONS = {
    Implementation.FUSED: ("fused", "One kernel, no intermediate results: what transformers' Trainer asks for"),
    Implementation.FOREACH: (
        "foreach",
        "Over all tensors at once: torch's own choice on a GPU; AdamW then holds a copy of its second moments",
    ),
    Implementation.LOOP: ("for-loop", "One tensor after the other: torch's own choice on a CPU"),
}
CHECKPOINTING = {
    Checkpointing.NONE: ("none", "Everything that the backward pass needs is kept"),
    Checkpointing.SELECTIVE: ("selective", "Attention's scores are computed again"),
    Checkpointing.FULL: ("full", "Only the input of each layer is kept; all else is computed again"),
}
TARGETS = {
    "attention": ("attention", "LoRA beside the linear layers of attention"),
    "all": ("all linear layers", "LoRA beside every linear layer of the blocks"),
}
AT_ONCE = "Each gradient is used up as soon as it is there"
BASES = {
    "": ("not quantized", "LoRA: the frozen weights stay as they are"),
    "int8": ("LLM.int8", "The frozen weights in 8 bits"),
    "nf4": ("NF4 (QLoRA)", "The frozen weights in 4 bits"),
    "fp4": ("FP4", "The frozen weights in 4 bits"),
}


class Controls(ControlColumn):
    """Signals carry what the user did."""

    opened = Signal(str)  # a hub id or a folder
    file_asked = Signal()
    folder_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumWidth(0)
        self.sliders = {name: LabelledSlider(knob) for name, knob in KNOBS.items()}
        for name, slider in self.sliders.items():
            slider.changed.connect(lambda value, name=name: self.changed.emit({name: value}))
        self.sources = combo_box("Model", "The model that is calculated: none of them has to be loaded")
        self.sources.activated.connect(lambda _: self.changed.emit({"source": self.sources.currentData()}))
        self.spec = QLineEdit()
        self.spec.setPlaceholderText("hub id, folder or config.json")
        self.spec.setAccessibleName("Hub id, folder or config.json")
        self.spec.setToolTip("Another model: only its config.json is read, or downloaded. Enter looks at it.")
        self.spec.returnPressed.connect(self._open)
        self.purpose = Choice(
            (
                ("Inference", "What running the model takes on one GPU"),
                ("Training", "What a training step takes on each GPU"),
            ),
            "What is calculated",
        )
        self.purpose.chosen.connect(lambda index: self.changed.emit({"purpose": PURPOSES[index]}))
        self.boxes = self._make_boxes()
        self.checks = self._make_checks()
        self.groups = FactList()
        self._source_shown: tuple[tuple[Source, ...], str] | None = None
        self._lay_out()

    def _make_boxes(self) -> dict[str, QComboBox]:
        precisions = {key: (name, "") for key, (name, *_) in PRECISIONS.items()}
        return {
            "precision": self._box("precision", "Precision", "How the weights are kept", precisions.items()),
            "cache_dtype": self._box("cache_dtype", "KV cache", "How keys and values are kept", CACHES.items()),
            "convention": self._box("convention", "Cache of", "Whose cache", CONVENTIONS.items()),
            "train_precision": self._box(
                "train_precision", "Precision", "Formats of weights, gradients and states", TRAIN_PRECISIONS.items()
            ),
            "optimizer": self._box(
                "optimizer",
                "Optimizer",
                "What it keeps beside the weights",
                ((o.value, (o.value, "")) for o in Optimizer),
            ),
            "implementation": self._box(
                "implementation", "Runs", "How the optimizer goes over the parameters", IMPLEMENTATIONS.items()
            ),
            "checkpointing": self._box(
                "checkpointing", "Checkpointing", "What the backward pass computes again", CHECKPOINTING.items()
            ),
            "lora_targets": self._box("lora_targets", "LoRA beside", "Which layers get adapters", TARGETS.items()),
            "lora_base": self._box("lora_base", "Frozen weights", "How LoRA's frozen weights are kept", BASES.items()),
            "strategy": self._box(
                "strategy", "Strategy", "How the training is shared out", ((s.value, (s.value, "")) for s in Strategy)
            ),
            "offload": self._box(
                "offload", "Offload", "What waits in main memory", ((o.value, (o.value, "")) for o in Offload)
            ),
        }

    def _box(self, name: str, label: str, tip: str, items: Iterable[tuple[str, tuple[str, str]]]) -> QComboBox:
        box = combo_box(label, tip)
        for key, (text, about) in items:
            box.addItem(text, str(key))
            if about:
                box.setItemData(box.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
        box.currentIndexChanged.connect(lambda _: self.changed.emit({name: box.currentData()}))
        return box

    def _make_checks(self) -> dict[str, QCheckBox]:
        found = {
            "flash": ("Flash attention", "Attention never keeps its scores, tokens × tokens for each head"),
            "all_logits": ("Logits of every position", "Not only of the last one, as generate() asks for"),
            "chunked_loss": ("Loss in parts", "Logits are made for a part of the tokens at a time"),
            "fused_backward": ("Gradients used at once", AT_ONCE),
        }
        checks = {}
        for name, (label, tip) in found.items():
            check = checks[name] = QCheckBox(label)
            check.setToolTip(tip)
            check.toggled.connect(lambda value, name=name: self.changed.emit({name: value}))
        return checks

    def _lay_out(self) -> None:
        sliders, checks = self.sliders, self.checks
        files = icon_button("open", "Open a config.json or a model's folder", "Open a model's files")
        menu = QMenu(files)
        menu.addAction("Open config.json…", self.file_asked.emit)
        menu.addAction("Open folder…", self.folder_asked.emit)
        files.setMenu(menu)
        files.setPopupMode(files.ToolButtonPopupMode.InstantPopup)
        model = group("Model", self.sources, row((self.spec, files), stretch=self.spec))
        self.inference = Fold(
            "Inference", "How the model is run",
            self._named("precision"), self._named("cache_dtype"), self._named("convention"),
            sliders["prefill"], checks["all_logits"],
        )  # fmt: skip
        self.training = Fold(
            "Training", "How the model is trained",
            self._named("train_precision"), self._named("optimizer"), self._named("implementation"),
            self._named("checkpointing"), sliders["micro_batches"], sliders["lora_rank"],
            self._named("lora_targets"), self._named("lora_base"),
            checks["chunked_loss"], checks["fused_backward"],
        )  # fmt: skip
        self.many = Fold(
            "Many GPUs", "How the training is shared out",
            sliders["gpus"], self._named("strategy"), self._named("offload"), sliders["tensor_parallel"],
            sliders["node"],
        )  # fmt: skip
        self.more = Fold("Around it", "What is counted beside the tensors", checks["flash"],
                         sliders["context_mib"], sliders["margin"])  # fmt: skip
        counted = Fold("Parameters", "By kind of module, exactly, counted on the architecture itself", self.groups)
        settings = (self.inference, self.training, self.many, self.more, counted)
        lengths = (sliders["tokens"], sliders["source_tokens"], sliders["batch"])
        self.fill((model, self.purpose, *lengths, *settings))

    def _named(self, name: str) -> QWidget:
        """A box under its name: the names are too long to stand beside."""
        box = self.boxes[name]
        label = QLabel(box.accessibleName())
        label.setBuddy(box)
        label.setToolTip(box.toolTip())
        return row((label, box), stretch=box)

    @Slot()
    def _open(self) -> None:
        if self.spec.text().strip():
            self.opened.emit(self.spec.text())
            self.spec.clear()

    # --- showing --------------------------------------------------------------------------------------------

    def show_sources(self, sources: tuple[Source, ...], chosen: str) -> None:
        """The models, without a signal."""
        if self._source_shown == (sources, chosen):
            return
        self._source_shown = (sources, chosen)
        with QSignalBlocker(self.sources):
            self.sources.clear()
            for source in sources:
                self.sources.addItem(source.name, source.key)
                said = in_lines(source.name, source.origin)
                self.sources.setItemData(self.sources.count() - 1, said, Qt.ItemDataRole.ToolTipRole)
            self.sources.setCurrentIndex(self.sources.findData(chosen))

    def show_params(self, params: Params, shape: ModelShape | None) -> None:
        """Set every control, without a signal; what has no effect is switched off."""
        for name, slider in self.sliders.items():
            slider.set_value(getattr(params, name))
        for name, box in self.boxes.items():
            with QSignalBlocker(box):
                box.setCurrentIndex(box.findData(getattr(params, name)))
        for name, check in self.checks.items():
            with QSignalBlocker(check):
                check.setChecked(getattr(params, name))
        self.purpose.set_chosen(PURPOSES.index(params.purpose))
        self.inference.setVisible(not params.training)
        self.training.setVisible(params.training)
        self.many.setVisible(params.training)
        encodes = shape is not None and shape.architecture is Architecture.ENCODER_DECODER
        self.sliders["source_tokens"].setVisible(encodes)
        lora = "Choose a LoRA rank to use it."
        for name in ("lora_targets", "lora_base"):
            self.boxes[name].setEnabled(bool(params.lora_rank))
            self.boxes[name].setToolTip(lora if not params.lora_rank else "Of LoRA")
        torchs = params.optimizer == Optimizer.ADAMW.value
        self.boxes["implementation"].setEnabled(torchs)
        tip = (
            "How the optimizer goes over the parameters" if torchs else "Only torch's AdamW can be run in several ways."
        )
        self.boxes["implementation"].setToolTip(tip)
        self.sliders["micro_batches"].set_available(
            not params.fused_backward, "Gradients that are used at once cannot be added up."
        )
        self.checks["fused_backward"].setEnabled(params.fused_backward or params.micro_batches == 1)
        self.checks["fused_backward"].setToolTip(AT_ONCE if params.micro_batches == 1 else "Only with one micro-batch.")
        hybrid = params.strategy == Strategy.HYBRID_SHARD.value
        self.sliders["node"].set_available(hybrid, "Only HYBRID_SHARD asks for it.")
