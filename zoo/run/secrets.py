"""Remove credentials in variables, options and addresses from what is written."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HIDDEN = "[redacted]"

_NAMES = re.compile(r"(^|[^a-z0-9])(api)?(key|token|secret|passw(or)?d|credentials?)($|[^a-z0-9])")
_SHAPES = (  # of well-known keys, and of what stands for one in an address
    re.compile(r"(?<=://)[^/\s@'\"]+(?=@)"),
    re.compile(
        r"(?<![a-z0-9])((?:[\w-]*[_-])?(?:(?:api)?key|token|secret|passw(?:or)?d|credentials?|signature|sig)"
        r"['\"]?\s*[:=]\s*['\"]?)[^\s,}\]'\"&]+",
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abp]-|wandb_v\d_)[\w-]{16,}"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
)  # fmt: skip
_SHORTEST = 8  # characters of a variable's value that is looked for: "1" or "true" is no secret


def is_secret(name: object) -> bool:
    """Whether what goes by this name is to be kept secret, as WANDB_API_KEY or token."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name))  # apiKey is api_Key
    return _NAMES.search(words.lower()) is not None


def redacted(value: Any) -> Any:
    """A text, or plain values, without credentials; a value named as a secret is replaced whole."""
    if isinstance(value, Mapping):
        return {k: HIDDEN if is_secret(k) and isinstance(v, str) and v else redacted(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(part) for part in value]
    if not isinstance(value, str):
        return value
    for secret in _of_environment():
        value = value.replace(secret, HIDDEN)
    for shape in _SHAPES:
        value = shape.sub(lambda match: (match[1] if match.re.groups else "") + HIDDEN, value)
    return value


def redacted_words(words: Sequence[str]) -> list[str]:
    """The words of a command without credentials, those after an option that is named as a secret too."""
    public, secret = [], False
    for word in words:
        option, equals, value = word.partition("=")
        named = option.startswith("-") and is_secret(option.lstrip("-"))
        if secret and not word.startswith("-"):
            public.append(HIDDEN)
        elif named and equals:
            public.append(f"{option}={HIDDEN}" if value else word)
        else:
            public.append(redacted(word))
        secret = named and not equals
    return public


def _of_environment() -> Iterator[str]:
    """The longest first: one may be a part of another."""
    values = {value for name, value in os.environ.items() if is_secret(name) and len(value) >= _SHORTEST}
    yield from sorted(values, key=len, reverse=True)
