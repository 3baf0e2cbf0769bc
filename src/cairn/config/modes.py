"""How much of an encoder fine-tuning changes. Apart, so that ranking does not hang on the recipes' code."""

from typing import Literal

FinetuneMode = Literal["full", "frozen", "lora"]
