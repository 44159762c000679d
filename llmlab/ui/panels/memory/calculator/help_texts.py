"""What the "?" of each page says. No Qt beyond the frozen value."""

from __future__ import annotations

from llmlab.ui.widgets.help import Help

HELP = {
    "parts": Help(
        "What the memory is made of",
        "Each bar is the same model on one GPU: in another precision, or for training with another strategy. Its "
        "pieces add up exactly, for training to the peak of the step; hover over one, or choose its row, for the "
        "formula with the numbers put in. The dashed lines are the GPUs chosen on the page “GPUs”; a click on a bar "
        "makes it the setting.",
        "total = weights + KV cache + activations + logits + CUDA context + margin\n"
        "KV cache = 2 · layers · KV heads · head size · tokens · batch · bytes",
    ),
    "phases": Help(
        "A training step from moment to moment",
        "Weights and optimizer states stay. The forward pass adds activations, the loss a few numbers of each logit; "
        "the backward pass gives the activations back while the gradients come, and the optimizer uses these up. The "
        "step needs what its worst moment needs, not the sum of everything. With two or more micro-batches the "
        "gradients are there from the beginning. A click on a moment shows its formulas.",
        "peak = max over the moments of Σ of what is there",
    ),
    "gpus": Help(
        "What fits where",
        "Every row is a GPU with what stays free on it, the longest context and the largest batch that would fit, and "
        "the precision that loses least. This machine's own come first; rows can be added and changed. Rows that are "
        "chosen (Ctrl for several) are the lines of the other pages.",
        "free = memory − total\nlongest context = max tokens with total(tokens, batch) ≤ memory",
    ),
    "contour": Help(
        "Context over batch",
        "Below a GPU's line the run, or the training step, fits on it; above it does not. The point is what is set "
        "now; a click on a line sets the context and the batch there. The dashed line is the longest context that "
        "the architecture was made for.",
        "total(tokens, batch) = memory of the GPU",
    ),
    "sharing": Help(
        "Training over many GPUs",
        "The areas are what one GPU holds when 1 to 1024 of them train together. ZeRO and FSDP share out optimizer "
        "states, gradients and weights; activations stay. The table compares the strategies at the chosen number, "
        "with what each GPU sends in a step compared with DDP.",
        "stage 1: 4Ψ + 12Ψ/N   stage 2: 2Ψ + 14Ψ/N   stage 3: 16Ψ/N\nsent: DDP 2Ψ(N−1)/N, ZeRO-3 3Ψ(N−1)/N elements",
    ),
    "rules": Help(
        "Rules of thumb",
        "Courses, papers and programs give different bytes per parameter for training, because they count different "
        "things. The bars put them side by side for this model; hover over a piece to see what it is. ZeRO's rows "
        "are its paper's formula. Rules sum up all that a step ever needs; with Training chosen the last row is what "
        "is calculated here: the worst moment, in which gradients and activations do not meet in full.",
        "bytes = parameters · Σ bytes per parameter",
    ),
    "speed": Help(
        "The decode limit",
        "To write one token every weight has to be read from memory once, and all keys and values; so bandwidth sets a "
        "limit, which only a model small enough for the processor's own caches can pass. The lines are that limit for "
        "each chosen GPU. Measure decodes a few dozen tokens with the loaded model, as it is loaded, and marks its "
        "real speed.",
        "tokens/s ≤ batch · bandwidth / (weights read + cache read)",
    ),
}
