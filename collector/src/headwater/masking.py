"""Secrets taken out of text before it leaves the job: `headwater_schemas.masking`, which the processor uses too."""

from __future__ import annotations

from headwater_schemas.masking import MASK, bounded, error_text, is_secret_name, mask, mask_assignments

__all__ = ["MASK", "bounded", "error_text", "is_secret_name", "mask", "mask_assignments"]
