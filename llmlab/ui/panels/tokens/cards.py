"""The hover card of a token."""

from __future__ import annotations

from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.widgets.card import Card


def token_card(encoded: Encoded | None, index: int) -> Card | None:
    """Everything known of token `index`, None where there is none."""
    if encoded is None or not 0 <= index < len(encoded):
        return None
    return Card(encoded.title(index), encoded.facts(index))
