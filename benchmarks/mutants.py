"""The mutants of a module: one comparison, operator, constant, argument or statement changed, for `mutation.py`.

Left as they are: strings (so the texts of messages, but not what is computed in them), annotations, imports.
"""

import ast
import copy
from os.path import commonprefix
from pathlib import Path

COMPARE = {ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
           ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
           ast.NotIn: (ast.In,)}  # fmt: skip
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
              ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
              ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd}  # fmt: skip
PAIRS = [
    ("min", "max"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("floor", "ceil"),
    ("zeros", "ones"),
]
CALLED = dict(PAIRS) | {b: a for a, b in PAIRS}


def changed(node, **fields):
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def variants(node):
    """What may stand in the place of a node."""
    one = ast.Constant(1)
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield from (changed(node, ops=[*ops[:i], other(), *ops[i + 1 :]]) for other in COMPARE[type(op)])
        case ast.BinOp() | ast.AugAssign() if type(node.op) in ARITHMETIC:
            yield changed(node, op=ARITHMETIC[type(node.op)]())
            if isinstance(node, ast.AugAssign):
                yield ast.Pass()
        case ast.BoolOp():
            yield changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp():
            yield node.operand
        case ast.Constant(value=bool()):
            yield changed(node, value=not node.value)
        case ast.Constant(value=int()):
            yield from (changed(node, value=node.value + step) for step in (1, -1))
        case ast.Constant(value=float()):
            yield changed(node, value=node.value * 2 or 1.0)
        case ast.If() | ast.While() | ast.IfExp() if not isinstance(node.test, (ast.Compare, ast.UnaryOp)):
            yield changed(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Return() if not isinstance(node.value, (ast.Constant, type(None))):
            yield changed(node, value=ast.Constant(None))
        case ast.Raise() | ast.Expr(ast.Call() | ast.Yield()) | ast.Assign([ast.Subscript() | ast.Attribute()]):
            yield ast.Pass()
        case ast.Break() | ast.Continue():
            yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
        case ast.comprehension() if node.ifs:
            yield changed(node, ifs=[])
        case ast.Slice(lower=lower, upper=upper):
            if not isinstance(lower, ast.Constant):
                yield changed(node, lower=ast.BinOp(lower, ast.Add(), one) if lower else one)
            if not isinstance(upper, ast.Constant):
                yield changed(node, upper=ast.BinOp(upper, ast.Sub(), one) if upper else ast.UnaryOp(ast.USub(), one))
        case ast.Call(func=func, args=args, keywords=words):
            yield from (changed(node, keywords=words[:i] + words[i + 1 :]) for i, word in enumerate(words) if word.arg)
            if len(args) > 1:
                yield changed(node, args=args[:-1])
            match func:
                case ast.Name(id=name) if name in CALLED:
                    yield changed(node, func=changed(func, id=CALLED[name]))
                case ast.Attribute(attr=name) if name in CALLED:
                    yield changed(node, func=changed(func, attr=CALLED[name]))


def text(node):
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())


def described(old, new):
    """What changes, without most of what two long texts have in common."""
    if isinstance(old, (ast.If, ast.While, ast.IfExp)):
        old, new = old.test, new.test
    old, new = text(old), text(new)
    head, tail = (max(len(commonprefix(pair)) - 30, 0) for pair in ((old, new), (old[::-1], new[::-1])))  # noqa: RUF071
    if max(len(old), len(new)) >= 80:
        old, new = (f"{t[:20]} … " * (head > 20) + t[head * (head > 20) : len(t) - tail] for t in (old, new))
    return f"{old}  ->  {new}"


class Mutant:
    """A node of a module's tree, and what may stand in its place; only a forked process puts it there."""

    def __init__(self, path, tree, place, old, new, statement, at_import):
        self.path, self.tree, self.place, self.new, self.at_import = path, tree, place, new, at_import
        end = (
            max(statement.body[0].lineno, statement.lineno + 1)
            if hasattr(statement, "body")
            else statement.end_lineno + 1
        )
        self.lines = range(statement.lineno, end)
        start = next((node for node in (getattr(old, "test", None), old) if hasattr(node, "lineno")), statement)
        self.name = f"{path}:{start.lineno}:{start.col_offset + 1}  {described(old, new)}"

    def compiled(self):
        parent, field, k = self.place
        if k is None:
            setattr(parent, field, self.new)
        else:
            getattr(parent, field)[k] = self.new
        return compile(ast.fix_missing_locations(self.tree), self.path, "exec", dont_inherit=True)


def mutants(path):
    tree = ast.parse(Path(path).read_text())

    def typing_only(node):
        return (
            isinstance(node, (ast.Import, ast.ImportFrom))
            or (isinstance(node, ast.FunctionDef) and "overload" in map(ast.unparse, node.decorator_list))
            or (isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias")
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        )

    def inside(node, statement, at_import):
        for field, value in ast.iter_fields(node):
            for k, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST) and field not in ("annotation", "returns") and not typing_only(child):
                    here = child if isinstance(child, ast.stmt) else statement
                    early = at_import and not (isinstance(node, (ast.FunctionDef, ast.Lambda)) and field == "body")
                    yield from (
                        Mutant(path, tree, (node, field, k), child, new, here, early) for new in variants(child)
                    )
                    yield from inside(child, here, early)

    return [*inside(tree, None, True)]
