//! What is changed in the interpreter's loop of opcodes.

pub(crate) const INTERPRETER: [(&str, &str); 13] = [
    // Nobody sets an interrupt handler: preemption is the host's (docs/decisions/0003).
    (
        "    if (unlikely(--ctx->interrupt_counter <= 0)) {\n        return __js_poll_interrupts(ctx);\n    } else {\n        return 0;\n    }\n",
        "    return 0;\n",
    ),
    // Entered at its middle as well, the loop of opcodes is irreducible, which WebAssembly cannot say: clang then
    // puts a dispatch of its own around it. So a generator that is resumed with an exception starts at an opcode
    // that goes there.
    (
        "            if (s->throw_flag)\n                goto exception;\n            else\n                goto restart;\n",
        "            if (s->throw_flag)\n                pc = (uint8_t *)lode_rethrow;\n            goto restart;\n",
    ),
    (
        "        CASE(OP_invalid):\n        DEFAULT:\n",
        "        CASE(OP_invalid):\n            if (pc == lode_rethrow + 1) {\n                pc = sf->cur_pc;\n                \
         goto exception;\n            }\n        DEFAULT:\n",
    ),
    (
        "/* argv[] is modified if (flags & JS_CALL_FLAG_COPY_ARGV) = 0. */\nstatic JSValue JS_CallInternal(JSContext *caller_ctx, JSValueConst func_obj,\n",
        r#"static const uint8_t lode_rethrow[] = {OP_invalid};

/* ECMA-262's ToInt32 of a number whose integer part 64 bits can hold: NaN and the infinities are not among them. */
static inline bool lode_to_int32(JSValue v, uint32_t *result)
{
    uint32_t tag = JS_VALUE_GET_TAG(v);
    double d;
    if (tag == JS_TAG_INT) {
        *result = JS_VALUE_GET_INT(v);
        return true;
    }
    if (!JS_TAG_IS_FLOAT64(tag))
        return false;
    d = JS_VALUE_GET_FLOAT64(v);
    if (!(d > -0x1p63 && d < 0x1p63))
        return false;
    *result = (uint32_t)(int64_t)d;
    return true;
}

static JSValue JS_CallInternal(JSContext *caller_ctx, JSValueConst func_obj,
"#,
    ),
    (
        "    size_t alloca_size;\n\n#ifdef ENABLE_DUMPS",
        "    size_t alloca_size;\n    uint32_t bits1, bits2;\n    double number1, number2;\n\n#ifdef ENABLE_DUMPS",
    ),
    // Half of all unsigned integers are doubles here: hashes and generators of random numbers are full of them.
    (
        "                    sp[-1] = js_int32(~JS_VALUE_GET_INT(op1));\n                } else {\n",
        "                    sp[-1] = js_int32(~JS_VALUE_GET_INT(op1));\n                \
         } else if (lode_to_int32(op1, &bits1)) {\n                    sp[-1] = js_int32(~bits1);\n                } else {\n",
    ),
    (
        "                    sp[-2] = js_int32(v1 << v2);\n                    sp--;\n",
        "                    sp[-2] = js_int32(v1 << v2);\n                    sp--;\n                \
         } else if (lode_to_int32(op1, &bits1) && lode_to_int32(op2, &bits2)) {\n                    \
         sp[-2] = js_int32(bits1 << (bits2 & 31));\n                    sp--;\n",
    ),
    (
        "                    sp[-2] = js_uint32((uint32_t)JS_VALUE_GET_INT(op1) >> v2);\n                    sp--;\n",
        "                    sp[-2] = js_uint32((uint32_t)JS_VALUE_GET_INT(op1) >> v2);\n                    sp--;\n                \
         } else if (lode_to_int32(op1, &bits1) && lode_to_int32(op2, &bits2)) {\n                    \
         sp[-2] = js_uint32(bits1 >> (bits2 & 31));\n                    sp--;\n",
    ),
    (
        "                    sp[-2] = js_int32((int)JS_VALUE_GET_INT(op1) >> v2);\n                    sp--;\n",
        "                    sp[-2] = js_int32((int)JS_VALUE_GET_INT(op1) >> v2);\n                    sp--;\n                \
         } else if (lode_to_int32(op1, &bits1) && lode_to_int32(op2, &bits2)) {\n                    \
         sp[-2] = js_int32((int32_t)bits1 >> (bits2 & 31));\n                    sp--;\n",
    ),
    (
        "                    sp[-2] = js_int32(JS_VALUE_GET_INT(op1) & JS_VALUE_GET_INT(op2));\n                    sp--;\n",
        "                    sp[-2] = js_int32(JS_VALUE_GET_INT(op1) & JS_VALUE_GET_INT(op2));\n                    sp--;\n                \
         } else if (lode_to_int32(op1, &bits1) && lode_to_int32(op2, &bits2)) {\n                    \
         sp[-2] = js_int32(bits1 & bits2);\n                    sp--;\n",
    ),
    (
        "                    sp[-2] = js_int32(JS_VALUE_GET_INT(op1) | JS_VALUE_GET_INT(op2));\n                    sp--;\n",
        "                    sp[-2] = js_int32(JS_VALUE_GET_INT(op1) | JS_VALUE_GET_INT(op2));\n                    sp--;\n                \
         } else if (lode_to_int32(op1, &bits1) && lode_to_int32(op2, &bits2)) {\n                    \
         sp[-2] = js_int32(bits1 | bits2);\n                    sp--;\n",
    ),
    (
        "                    sp[-2] = js_int32(JS_VALUE_GET_INT(op1) ^ JS_VALUE_GET_INT(op2));\n                    sp--;\n",
        "                    sp[-2] = js_int32(JS_VALUE_GET_INT(op1) ^ JS_VALUE_GET_INT(op2));\n                    sp--;\n                \
         } else if (lode_to_int32(op1, &bits1) && lode_to_int32(op2, &bits2)) {\n                    \
         sp[-2] = js_int32(bits1 ^ bits2);\n                    sp--;\n",
    ),
    (
        "                    sp[-2] = js_bool(JS_VALUE_GET_INT(op1) binary_op JS_VALUE_GET_INT(op2)); \\\n                    sp--;                                               \\\n",
        "                    sp[-2] = js_bool(JS_VALUE_GET_INT(op1) binary_op JS_VALUE_GET_INT(op2)); \\\n                    sp--;                                               \\\n                \
         } else if (js_arith_to_float64(op1, &number1) && js_arith_to_float64(op2, &number2)) { \\\n                    \
         sp[-2] = js_bool(number1 binary_op number2); \\\n                    sp--; \\\n",
    ),
];
