"""CUDA C++ to what g++ takes: shared memory is declared otherwise, and each kernel gets an entry.

Everything else of CUDA is in the headers of ``include/``. Lines keep their numbers, so that errors name those
of the ``.cu`` file.
"""

from __future__ import annotations

import dataclasses
import re

_KERNEL = re.compile(r'extern\s+"C"\s+__global__\b')
_SHARED = re.compile(r"\b(extern\s+)?__shared__\b")
_ALIGNMENT = re.compile(r"(?:__align__|alignas)\s*\(([^()]*)\)|__attribute__\s*\(\(aligned\(([^()]*)\)\)\)")
_FORBIDDEN = {
    r"\b__constant__\b": "__constant__ memory (one kernel launch cannot see another's writes to it)",
    r"\bcooperative_groups\b": "cooperative groups",
    r"#\s*include\s*<(?:cub|thrust|curand)": "headers of cub, thrust or curand",
}


class TranslationError(AssertionError):
    """The source breaks a rule for kernels (tests/README.md)."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What the text says about a kernel; types are asked of the compiled code.

    ``parameters`` has the names, or is ``None`` where the preprocessor decides on them.
    """

    name: str
    parameters: tuple[str, ...] | None
    restricted: tuple[bool, ...]


def translate(source: str) -> tuple[str, dict[str, Kernel]]:
    """Return C++ for g++ and the kernels found, by name."""
    text = without_comments(source)
    for pattern, what in _FORBIDDEN.items():
        if found := re.search(pattern, text):
            line = text.count("\n", 0, found.start()) + 1
            raise TranslationError(f"line {line}: kernels must not use {what}")
    text = _with_shared_memory(text)
    return _with_entries(text)


def without_comments(source: str) -> str:
    """Blank comments, outside of string literals; line breaks stay."""
    pattern = r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/'

    def blank(match):
        found = match[0]
        return found if found[0] == '"' else re.sub(r"[^\n]", " ", found)

    return re.sub(pattern, blank, source, flags=re.S)


# ---- shared memory -------------------------------------------------------------------------------
def _with_shared_memory(text: str) -> str:
    parts, end = [], 0
    for match in _SHARED.finditer(text):
        if match.start() < end:
            continue
        stop = _statement_end(text, match.end())
        declaration = text[match.end():stop]
        parts.append(text[end:match.start()])
        parts.append(_dynamic(declaration) if match[1] else _static(declaration))
        parts.append("\n" * text.count("\n", match.start(), stop))
        end = stop + 1
    return "".join([*parts, text[end:]])


def _dynamic(declaration: str) -> str:
    """``T name[]`` -> a pointer to the dynamic shared memory of the block that runs."""
    plain = " ".join(_ALIGNMENT.sub("", declaration).split())
    match = re.fullmatch(r"(.*?)(\w+)\s*\[\s*\]", plain)
    if match is None:
        raise TranslationError(f"expected `extern __shared__ T name[];`, came `extern __shared__ {plain};`")
    return f"{match[1].strip()}* {match[2]} = ({match[1].strip()}*)emulator_dynamic_shared();"


def _static(declaration: str) -> str:
    """``T a[n], b`` -> types of that shape, and references into the block's memory."""
    alignments = [a or b for a, b in _ALIGNMENT.findall(declaration)]
    plain = " ".join(_ALIGNMENT.sub(" ", declaration).split())
    names = []

    def renamed(declarator):
        match = re.search(r"(\w+)(\s*(?:\[.*)?)$", declarator)
        names.append(match[1])
        return f"{declarator[:match.start()]}{match[1]}__type{match[2]}"

    types = ",".join(renamed(part) for part in split(plain))
    alignment = alignments[0] if alignments else 1
    references = " ".join(f"EMULATOR_SHARED({name}, ({alignment}))" for name in names)
    return f"typedef {types}; {references}"


# ---- kernels -------------------------------------------------------------------------------------
def _with_entries(text: str) -> tuple[str, dict[str, Kernel]]:
    kernels, parts, end = {}, [], 0
    for match in _KERNEL.finditer(text):
        head = re.compile(r"\s*(?:void\b|__launch_bounds__\s*(?=\()|static\b|inline\b)")
        position, bounds = match.end(), ""
        while found := head.match(text, position):
            position = found.end()
            if found[0].strip().startswith("__launch_bounds__"):
                close = closing(text, text.index("(", position))
                bounds = text[text.index("(", position) + 1:close]
                position = close + 1
        name = re.compile(r"\s*(\w+)\s*(?=\()").match(text, position)
        if name is None:
            line = text.count("\n", 0, match.start()) + 1
            raise TranslationError(f'line {line}: expected `extern "C" __global__ void name(...)`')
        opening = text.index("(", name.end())
        close = closing(text, opening)
        if text[close + 1:].lstrip().startswith(";"):
            continue  # a declaration
        declared = text[opening + 1:close]
        kernels[name[1]] = _described(name[1], declared)
        parameters = "" if "#" in declared else " ".join(declared.split())
        if "#" in declared:
            raise TranslationError(f"kernel {name[1]}: the preprocessor must not choose its parameters")
        extra = f", {bounds}" if bounds else ""
        parts.append(text[end:match.start()])
        parts.append(f'extern "C" void {name[1]}({parameters}); EMULATOR_KERNEL({name[1]}{extra}) ')
        end = match.start()
    return "".join([*parts, text[end:]]), kernels


def _described(name: str, declared: str) -> Kernel:
    parts = [p.strip() for p in split(declared) if p.strip() and p.strip() != "void"]
    names = [re.search(r"(\w+)\s*(?:\[[^]]*\])?$", part)[1] for part in parts]
    return Kernel(name, tuple(names), tuple("__restrict" in part for part in parts))


# ---- reading C++ ---------------------------------------------------------------------------------
def closing(text: str, opening: int) -> int:
    """Return where the bracket at ``opening`` is closed."""
    depth = 0
    for i in range(opening, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    raise TranslationError(f"bracket in line {text.count(chr(10), 0, opening) + 1} is never closed")


def split(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{<") - (c in ")]}>")
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def _statement_end(text: str, start: int) -> int:
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if text[i] == ";" and depth == 0:
            return i
    raise TranslationError("a __shared__ declaration never ends")
