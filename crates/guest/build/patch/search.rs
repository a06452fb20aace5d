//! What is changed in libregexp.c.

/// The search of a regular expression (libregexp.c) tries one position after the other, each with a state to go back
/// to and a dispatch per opcode. Where its first opcode looks at one character, positions without that are passed over.
pub(crate) const SEARCHING: [(&str, &str); 4] = [
    (
        "    void *opaque; /* used for stack overflow check */\n\n    StackElem *stack_buf;\n",
        "    void *opaque; /* used for stack overflow check */\n    \
         const uint8_t *search; /* the opcode that begins a search, or NULL */\n    \
         const uint8_t *first;  /* what must match where it begins */\n\n    StackElem *stack_buf;\n",
    ),
    (
        "/* return 1 if match, 0 if not match or < 0 if error. */\nstatic intptr_t lre_exec_backtrack(",
        r#"/* `re_compile` begins what is not sticky with such a split, and nothing else. */
static void lode_find_first(REExecContext *s, const uint8_t *pc)
{
    const uint8_t *first = pc + 11;
    s->search = NULL;
    if (*pc != REOP_split_goto_first)
        return;
    /* What looks at no character, and what at the same one besides. */
    while (*first == REOP_save_start || *first == REOP_word_boundary || *first == REOP_word_boundary_i)
        first += *first == REOP_save_start ? 2 : 1;
    switch (*first) {
    case REOP_char:
    case REOP_char_i:
    case REOP_range:
    case REOP_range_i:
    case REOP_space:
    case REOP_line_start:
        s->search = pc;
    }
    s->first = first;
}

/* The next position where `first` matches, or the end. */
static const uint8_t *lode_skip(REExecContext *s, const uint8_t *cptr)
{
    const uint8_t *first = s->first, *end = s->cbuf_end, *next, *range, *ranges_end;
    int opcode = *first, cbuf_type = s->cbuf_type;
    uint32_t c;
    if (opcode == REOP_line_start)
        return cptr == s->cbuf ? cptr : end;
    for (; cptr < end; cptr = next) {
        next = cptr;
        GET_CHAR(c, next, end, cbuf_type);
        if (opcode == REOP_space) {
            if (lre_is_space(c))
                break;
            continue;
        }
        if (opcode == REOP_char_i || opcode == REOP_range_i)
            c = lre_canonicalize(c, s->is_unicode);
        if (opcode == REOP_char || opcode == REOP_char_i) {
            if (c == get_u16(first + 1))
                break;
            continue;
        }
        range = first + 3;
        ranges_end = range + 4 * get_u16(first + 1);
        if (c > 0xffff) /* the last range's end stands for all that is higher */
            c = 0xffff;
        while (range < ranges_end && c > get_u16(range + 2))
            range += 4;
        if (range < ranges_end && c >= get_u16(range))
            break;
    }
    return cptr;
}

/* return 1 if match, 0 if not match or < 0 if error. */
static intptr_t lre_exec_backtrack("#,
    ),
    (
        "        case REOP_split_goto_first:\n        case REOP_split_next_first:\n            {\n                const uint8_t *pc1;\n\n",
        "        case REOP_split_goto_first:\n        case REOP_split_next_first:\n            {\n                const uint8_t *pc1;\n\n                \
         if (pc - 1 == s->search) {\n                    cptr = lode_skip(s, cptr);\n                    \
         if (cptr == cbuf_end && *s->first != REOP_line_start)\n                        goto no_match;\n                }\n",
    ),
    (
        "    ret = lre_exec_backtrack(s, capture, bc_buf + RE_HEADER_LEN, cptr);\n",
        "    lode_find_first(s, bc_buf + RE_HEADER_LEN);\n    \
         ret = lre_exec_backtrack(s, capture, bc_buf + RE_HEADER_LEN, cptr);\n",
    ),
];
