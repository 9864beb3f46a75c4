"""Texts as official scripts compare them."""

from __future__ import annotations

import re
import string
from functools import lru_cache

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@lru_cache(maxsize=1024)  # em and f1 normalise the same texts
def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single spaces.

    One and the same in the scripts of all three data sets: hotpotqa/hotpot@4c0fa5e hotpot_evaluate_v1.py,
    Alab-NII/2wikimultihop@209e761 2wikimultihop_evaluate_v1.1.py and StonyBrookNLP/musique@8b8d8ce
    metrics/answer.py.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
