"""HTML in which text is always text: what is not made by :func:`tag` is escaped."""

from __future__ import annotations

from html import escape

_VOID = {"img", "input", "meta", "link", "br", "col"}


class Markup(str):
    """HTML that is put in as it stands."""

    __slots__ = ()


def tag(name: str, /, *content: object, **attributes: object) -> Markup:
    """An element; content that is not :class:`Markup` is escaped, and None or False leaves an attribute or a part out.

    `class_` and `for_` are written without their last underscore, and `aria_label` with a hyphen.
    """
    words = [name]
    for key, value in attributes.items():
        word = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(word)
        elif value is not None and value is not False:
            words.append(f'{word}="{escape(str(value))}"')
    end = "" if name in _VOID else f"</{name}>"
    return Markup(f"<{' '.join(words)}>{join(*content)}{end}")


def join(*content: object) -> Markup:
    """Parts one after the other, escaped as in :func:`tag`."""
    there = (part for part in content if part is not None and part is not False)
    return Markup("".join(part if isinstance(part, Markup) else escape(str(part)) for part in there))
