"""Office formulas (OMML) as one line of text, such as `(a+b)/(2)` and `10^6`."""

from __future__ import annotations

from retrieval.conversion.docx.markup import Element, w

M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_SKIPPED = frozenset({w("del"), w("moveFrom")})


def formula_text(root: Element) -> str:
    """The text of a formula. The tree is walked without recursion, since it may be deep."""
    texts: dict[Element, str] = {}
    stack: list[tuple[Element, bool]] = [(root, False)]
    while stack:
        element, done = stack.pop()
        if done:
            texts[element] = _written(element, texts)
        elif isinstance(element.tag, str) and element.tag not in _SKIPPED and not element.tag.endswith("Pr"):
            stack.append((element, True))
            stack.extend((child, False) for child in element)
    return " ".join(texts.get(root, "").split())


def _written(element: Element, texts: dict[Element, str]) -> str:
    name = element.tag.rpartition("}")[2]
    if name == "t":
        return element.text or ""
    parts: dict[str, list[str]] = {}
    for child in element:
        text = texts.pop(child, None)
        if text is not None:
            parts.setdefault(child.tag.rpartition("}")[2], []).append(text)

    def part(key: str) -> str:
        return "".join(parts.get(key, ()))

    base = part("e")
    if name == "f":
        return f"{_operand(part('num'))}/{_operand(part('den'))}"
    if name in {"sSup", "sSub", "sSubSup"}:
        return f"{base}{_script('_', part('sub'))}{_script('^', part('sup'))}"
    if name == "sPre":
        return f"{_script('_', part('sub'))}{_script('^', part('sup'))} {base}"
    if name == "rad":
        degree = part("deg").strip()
        return f"root_{degree}({base})" if degree else f"√({base})"
    if name == "nary":
        sign = _property(element, "naryPr", "chr") or "∫"
        return f"{sign}{_script('_', part('sub'))}{_script('^', part('sup'))} {base}"
    if name == "d":
        begin, end = _property(element, "dPr", "begChr"), _property(element, "dPr", "endChr")
        separator = _property(element, "dPr", "sepChr") or "|"
        return f"{'(' if begin is None else begin}{separator.join(parts.get('e', ()))}{')' if end is None else end}"
    if name == "func":
        return f"{part('fName')} {base}"
    if name in {"limLow", "limUpp"}:
        return f"{base}{_script('_' if name == 'limLow' else '^', part('lim'))}"
    if name == "m":
        return "; ".join(parts.get("mr", ()))
    if name == "mr":
        return ", ".join(parts.get("e", ()))
    if name == "eqArr":
        return "; ".join(parts.get("e", ()))
    return "".join(text for child in parts.values() for text in child) if len(parts) < 2 else _in_order(element, parts)


def _in_order(element: Element, parts: dict[str, list[str]]) -> str:
    queues = {name: iter(texts) for name, texts in parts.items()}
    names = (child.tag.rpartition("}")[2] for child in element if isinstance(child.tag, str))
    return "".join(next(queues[name], "") for name in names if name in queues)


def _operand(text: str) -> str:
    text = text.strip()
    return text if text.isalnum() else f"({text})"


def _script(sign: str, text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    return f"{sign}{text}" if text.removeprefix("-").removeprefix("−").isalnum() else f"{sign}({text})"


def _property(element: Element, properties: str, name: str) -> str | None:
    found = element.find(f"{M}{properties}/{M}{name}")
    return found.get(f"{M}val", "") if found is not None else None
