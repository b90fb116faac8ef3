"""The reference of the Python API: signatures, parameters with types, results and errors, read from the source."""

import ast
import inspect
import re
import textwrap
from types import ModuleType
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
# Sentences of a docstring about parameters, and about errors.
ABOUT = re.compile(r"(?:^|(?<=[.;] ))((?:``\*{0,2}\w+``(?:, | and )?)+)(?:: | is | are )")
RAISES = re.compile(r"(?:^|(?<=[.;] ))Raises .*?(?:\.(?= [A-Z`]|$)|$)")
# The modules of proximax.maths, in the order in which the pages of the algorithms need them.
MATHS = [
    "advantages",
    "objectives",
    "clip_variants",
    "kl",
    "distributions",
    "bins",
    "running",
    "types",
    "shuffling",
    "trust_region",
]
LINE = 100  # characters of a signature in one line


def entry(name: str, thing: Any, heading: str = "##", settings: dict[str, str] | None = None) -> str:
    """The part of a reference page about a function or class. ``settings``: of parameters that are not explained."""
    thing = inspect.unwrap(thing)
    source = textwrap.dedent(inspect.getsource(thing))
    node = ast.parse(source).body[0]
    if isinstance(node, ast.ClassDef):
        return class_entry(name, node, source, inspect.getdoc(thing) or "", heading)
    assert isinstance(node, Function)
    words = (settings or {}) | parameter_comments(node, source.splitlines())
    return f"{heading} {name}\n\n{function_entry(name, node, settings=words)}"


def function_entry(name: str, node: Function, method: bool = False, settings: dict[str, str] | None = None) -> str:
    """Signature, docstring, parameters and errors of a function."""
    summary, about, rest, errors = parts_of(ast.get_docstring(node) or "", {a.arg for a in arguments(node)})
    about = (settings or {}) | about
    rows = [
        row(
            f"`{stars}{a.arg}`", f"`{ast.unparse(a.annotation)}`" if a.annotation else "", default, about.get(a.arg, "")
        )
        for a, stars, default in parameters(node, method)
    ]
    described = any(arg.arg in about for arg in arguments(node))
    table = "| parameter | type | default | |\n|---|---|---|---|\n" + "".join(rows) + "\n" if rows and described else ""
    return block(signature(name, node, method)) + summary + rest + table + errors


def parts_of(doc: str, names: set[str]) -> tuple[str, dict[str, str], str, str]:
    """(first paragraph, what is said about each parameter, the other paragraphs, errors) of a docstring.

    About parameters are sentences that begin with names: "``out``: a directory", "``seed`` and ``env`` are as in".
    """
    first, _, rest = doc.partition("\n\n")
    about: dict[str, str] = {}
    others, errors = [], ""
    for paragraph in filter(str.strip, rest.split("\n\n")):
        if re.search(r"^ ", paragraph, re.MULTILINE):  # a formula
            others.append(paragraph)
            continue
        text = " ".join(paragraph.split())
        if found := RAISES.search(text):
            errors, text = (
                f"**Errors.** {markdown(found[0])}\n\n",
                (text[: found.start()] + text[found.end() :]).strip(),
            )
        text, _, source = text.partition("Source: ")
        starts = [m for m in ABOUT.finditer(text) if names.issuperset(re.findall(r"\w+", m[1].replace(" and ", " ")))]
        others.append(text[: starts[0].start()] if starts else text)
        for start, end in zip(starts, [*(m.start() for m in starts[1:]), len(text)]):
            for name in re.findall(r"\w+", start[1].replace(" and ", " ")):
                about[name] = text[start.end() : end].strip(" ;")
        others.append(f"Source: {source}" if source else "")
    return paragraph_of(first), about, paragraph_of("\n\n".join(filter(str.strip, others))), errors


def parameter_comments(node: Function, lines: list[str]) -> dict[str, str]:
    """The comments behind parameters that have a line of their own."""
    comments = {}
    for arg in arguments(node):
        line = lines[(arg.end_lineno or arg.lineno) - 1]
        if arg.lineno > node.lineno and (comment := re.search(r"  # (.*)$", line)):
            comments[arg.arg] = comment[1]
    return comments


def paragraph_of(text: str) -> str:
    """Markdown of a docstring's paragraphs."""
    return f"{markdown(text).strip()}\n\n" if text.strip() else ""


def markdown(text: str) -> str:
    """A docstring's text: its double backticks become single ones."""
    return text.replace("``", "`").replace("[T, N", "[T, N")


def arguments(node: Function) -> list[ast.arg]:
    """All parameters of a function."""
    a = node.args
    return [*a.posonlyargs, *a.args, *filter(None, [a.vararg]), *a.kwonlyargs, *filter(None, [a.kwarg])]


def parameters(node: Function, method: bool) -> list[tuple[ast.arg, str, str]]:
    """(parameter, its stars, its default) without ``self``."""
    a = node.args
    positional = [*a.posonlyargs, *a.args]
    missing = [None] * (len(positional) - len(a.defaults))
    pairs = [*zip(positional, [*missing, *a.defaults]), *zip(a.kwonlyargs, a.kw_defaults)]
    found = [(arg, "", f"`{unparsed(value)}`" if value is not None else "required") for arg, value in pairs]
    found = found[method:]
    if a.vararg:
        found.insert(len(positional) - method, (a.vararg, "*", ""))
    return [*found, (a.kwarg, "**", "")] if a.kwarg else found


def unparsed(value: ast.expr) -> str:
    """The source of a default; strings in double quotes."""
    text = ast.unparse(value)
    return f'"{value.value}"' if isinstance(value, ast.Constant) and isinstance(value.value, str) else text


def signature(name: str, node: Function, method: bool = False) -> str:
    """How a function is called, on one line if it fits."""
    first_keyword = node.args.kwonlyargs[0].arg if node.args.kwonlyargs and not node.args.vararg else ""
    pieces: list[str] = []
    for arg, stars, default in parameters(node, method):
        pieces += ["*"] if arg.arg == first_keyword else []
        annotation = f": {ast.unparse(arg.annotation)}" if arg.annotation else ""
        value = (
            ""
            if default in ("", "required")
            else f" = {default.strip('`')}"
            if annotation
            else f"={default.strip('`')}"
        )
        pieces.append(f"{stars}{arg.arg}{annotation}{value}")
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    flat = f"{name}({', '.join(pieces)}){result}"
    return flat if len(flat) <= LINE else f"{name}(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){result}"


def class_entry(name: str, node: ast.ClassDef, source: str, doc: str, heading: str) -> str:
    """Docstring, fields and public methods of a class."""
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    text = f"{heading} {name}\n\n" + block(f"class {name}({bases})" if bases else f"class {name}")
    summary, about, rest, errors = parts_of(doc, field_names(node))
    text += summary + rest
    fields = field_rows(node, source.splitlines(), about)
    text += "| field | type | default | |\n|---|---|---|---|\n" + "".join(fields) + "\n" if fields else ""
    for item in node.body:
        if isinstance(item, Function) and (item.name == "__init__" or not item.name.startswith("_")):
            text += method_entry(name, item)
    return text + errors


def method_entry(owner: str, node: Function) -> str:
    """A public method, property or constructor of a class."""
    decorators = {ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list}
    if any("setter" in decorator for decorator in decorators) or "overload" in decorators:
        return ""
    if node.name == "__init__":
        return block(signature(owner, node, method=True).removesuffix(" -> None")) if len(arguments(node)) > 1 else ""
    if "property" in decorators:
        kind = f": {ast.unparse(node.returns)}" if node.returns else ""
        return f"**`{node.name}`**`{kind}`. ".replace("``: ", "`: ") + paragraph_of(ast.get_docstring(node) or "")
    bound = "staticmethod" not in decorators
    call = f"{owner}.{node.name}" if decorators & {"classmethod", "staticmethod"} else f".{node.name}"
    return function_entry(call, node, method=bound)


def field_names(node: ast.ClassDef) -> set[str]:
    """The names of a record's fields."""
    return {
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


def field_rows(node: ast.ClassDef, lines: list[str], about: dict[str, str]) -> list[str]:
    """A row for each field: its type, default, and the string below it or the comment behind it."""
    rows = []
    for item, below in zip(node.body, [*node.body[1:], None]):
        if (
            not isinstance(item, ast.AnnAssign)
            or not isinstance(item.target, ast.Name)
            or item.target.id.startswith("_")
        ):
            continue
        meaning = about.get(item.target.id, "")
        comment = re.search(r"#\s*(.*)$", lines[(item.end_lineno or item.lineno) - 1])
        meaning = meaning or (comment[1] if comment else comment_above(lines[: item.lineno - 1]))
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            meaning = str(below.value.value)
        default = f"`{ast.unparse(item.value)}`" if item.value is not None else "required"
        rows.append(row(f"`{item.target.id}`", f"`{ast.unparse(item.annotation)}`", default, meaning))
    return rows


def comment_above(lines: list[str]) -> str:
    """The comment that ends a text."""
    texts = [line.strip() for line in lines]
    start = len(texts) - next((i for i, text in enumerate(reversed(texts)) if not text.startswith("#")), len(texts))
    return " ".join(text.lstrip("# ") for text in texts[start:])


def explained(function: Any) -> dict[str, str]:
    """What a function's docstring says about its parameters."""
    function = inspect.unwrap(function)
    return parts_of(inspect.getdoc(function) or "", set(inspect.signature(function).parameters))[1]


def block(code: str) -> str:
    """Code that is shown and not run."""
    return f"```py\n{code}\n```\n\n"


def row(*cells: str) -> str:
    """A line of a table."""
    plain = (" ".join(markdown(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(plain)} |\n"


def maths_page(maths: ModuleType, head: str) -> str:
    """Every function and distribution of ``proximax.maths``, by module."""
    text = head
    modules: dict[str, list[str]] = {}
    for name in maths.__all__:
        modules.setdefault(inspect.unwrap(getattr(maths, name)).__module__, []).append(name)
    for module in sorted(modules, key=lambda module: MATHS.index(module.rpartition(".")[2])):
        names = modules[module]
        short = module.removeprefix("proximax.")
        link = f"../../{module.replace('.', '/')}.py"
        about = (inspect.getmodule(inspect.unwrap(getattr(maths, names[0]))).__doc__ or "").partition("\n\n")[0]
        text += f"## {short.rpartition('.')[2]}\n\n{paragraph_of(about)}[{short}]({link})\n\n"
        text += "".join(entry(name, getattr(maths, name), "###") for name in names)
    return text
