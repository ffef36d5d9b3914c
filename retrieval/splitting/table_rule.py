"""A rule for Markdown's parser that finds a table, without a token for each of its cells.

The parser's own rule makes some ten objects per cell, and ends a table of very many short rows early.
"""

from __future__ import annotations

from markdown_it.rules_block import StateBlock
from markdown_it.rules_block import table as find_table


def whole_table(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """A header, the rule under it and the rows up to a blank line or another kind of block."""
    if not find_table(state, first, end, True):
        return False
    if silent:
        return True
    before, state.parentType = state.parentType, "table"
    terminators = state.md.block.ruler.getRules("blockquote")
    line = first + 2
    while line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        if state.is_code_block(line) or any(rule(state, line, end, True) for rule in terminators):
            break
        line += 1
    state.push("table_open", "table", 1).map = [first, line]
    state.push("table_close", "table", -1)
    state.parentType, state.line = before, line
    return True
