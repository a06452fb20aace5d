// internal.renderMustache(template, data): Mustache (mustache.github.io/mustache.5.html) for Kinvey's
// utils.renderTemplate. Variables escaped or raw, dotted names, sections, inverted sections, comments, other
// delimiters, functions as values. There are no partials, as there is nowhere to load one from: `{{> x}}`
// gives nothing, which is what Mustache says of a missing partial.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayIsArray,
    Error,
    ReflectApply,
    ReflectHas,
    StringPrototypeCharCodeAt,
    StringPrototypeIndexOf,
    StringPrototypeLastIndexOf,
    StringPrototypeSlice,
    StringPrototypeTrim,
  } = primordials;
  const { isObject, list, toDOMString } = internal;

  const MAX_NESTING = 100; // sections are rendered by recursion

  const escapeHtml = (text) => {
    let out = '';
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      let escaped;
      switch (StringPrototypeCharCodeAt(text, i)) {
        case 34: escaped = '&quot;'; break;
        case 38: escaped = '&amp;'; break;
        case 39: escaped = '&#39;'; break;
        case 60: escaped = '&lt;'; break;
        case 62: escaped = '&gt;'; break;
        default: continue;
      }
      out += StringPrototypeSlice(text, start, i) + escaped;
      start = i + 1;
    }
    return out + StringPrototypeSlice(text, start);
  };

  // ---- parsing: a tree of {kind, …} nodes ----

  const isBlank = (text, start, end) => {
    for (let i = start; i < end; i++) if (text[i] !== ' ' && text[i] !== '\t') return false;
    return true;
  };

  const parse = (text, open, close) => {
    const root = { __proto__: null, kind: 'root', name: '', children: list(), parent: undefined };
    let node = root;
    let depth = 0;
    const add = (child) => { node.children[node.children.length] = child; };
    const addText = (from, to) => {
      if (from < to) add({ __proto__: null, kind: 'text', text: StringPrototypeSlice(text, from, to) });
    };

    let at = 0;
    for (;;) {
      const start = StringPrototypeIndexOf(text, open, at);
      if (start < 0) break;
      let inside = start + open.length;
      const mark = StringPrototypeSlice(text, inside, inside + 1);
      const ending = mark === '{' ? '}' + close : mark === '=' ? '=' + close : close;
      const stop = StringPrototypeIndexOf(text, ending, inside);
      if (stop < 0) {
        internal.fail(Error, 'renderTemplate: the tag at character ' + start + ' is never closed');
      }
      let end = stop + ending.length;
      const isVariable = mark === '{' || mark === '&' ||
        (mark !== '#' && mark !== '^' && mark !== '/' && mark !== '!' && mark !== '>' && mark !== '=');
      if (mark === '{' || mark === '&' || !isVariable) inside++;
      const name = StringPrototypeTrim(StringPrototypeSlice(text, inside, stop));

      let before = start;
      if (!isVariable) {
        // A tag alone on its line takes the whole line with it.
        const lineStart = StringPrototypeLastIndexOf(text, '\n', start - 1) + 1;
        let lineEnd = StringPrototypeIndexOf(text, '\n', end);
        const atEnd = lineEnd < 0;
        if (atEnd) lineEnd = text.length;
        const blankTo = !atEnd && text[lineEnd - 1] === '\r' && lineEnd > end ? lineEnd - 1 : lineEnd;
        if (lineStart >= at && isBlank(text, lineStart, start) && isBlank(text, end, blankTo)) {
          before = lineStart;
          end = atEnd ? lineEnd : lineEnd + 1;
        }
      }
      addText(at, before);
      at = end;

      if (isVariable) {
        add({ __proto__: null, kind: mark === '{' || mark === '&' ? 'raw' : 'escaped', name });
      } else if (mark === '#' || mark === '^') {
        if (++depth > MAX_NESTING) internal.fail(Error, 'renderTemplate: sections are nested too deeply');
        const section = {
          __proto__: null, kind: mark, name, children: list(), parent: node, open, close, from: at, to: at,
        };
        add(section);
        node = section;
      } else if (mark === '/') {
        if (node.parent === undefined || node.name !== name) {
          internal.fail(Error, 'renderTemplate: {{/' + name + '}} closes no open section');
        }
        node.to = before;
        node = node.parent;
        depth--;
      } else if (mark === '=') {
        const space = StringPrototypeIndexOf(name, ' ');
        const first = space < 0 ? '' : StringPrototypeSlice(name, 0, space);
        const second = space < 0 ? '' : StringPrototypeTrim(StringPrototypeSlice(name, space));
        if (first === '' || second === '') internal.fail(Error, 'renderTemplate: bad delimiters');
        open = first;
        close = second;
      }
    }
    if (node !== root) internal.fail(Error, 'renderTemplate: the section ' + node.name + ' is never closed');
    addText(at, text.length);
    return root;
  };

  // ---- rendering ----

  // Where names are looked up: the innermost value, then those around it.
  const inside = (context, value) => ({ __proto__: null, value, outer: context });

  const memberOf = (value, key) => {
    if (value === undefined || value === null) return undefined;
    const found = value[key];
    return typeof found === 'function' ? ReflectApply(found, value, []) : found;
  };

  const lookup = (context, name, keepFunction) => {
    if (name === '.') return context.value;
    let dot = StringPrototypeIndexOf(name, '.');
    const first = dot < 0 ? name : StringPrototypeSlice(name, 0, dot);
    let found;
    for (let at = context; at !== undefined; at = at.outer) {
      if (!isObject(at.value) || !ReflectHas(at.value, first)) continue;
      found = at.value[first];
      if (typeof found === 'function' && !(keepFunction && dot < 0)) {
        found = ReflectApply(found, at.value, []);
      }
      break;
    }
    while (dot >= 0) {
      const start = dot + 1;
      dot = StringPrototypeIndexOf(name, '.', start);
      found = memberOf(found, StringPrototypeSlice(name, start, dot < 0 ? name.length : dot));
    }
    return found;
  };

  const textOf = (value) => (value === undefined || value === null ? '' : toDOMString(value));

  const renderSection = (node, context, source) => {
    const value = lookup(context, node.name, true);
    if (typeof value === 'function') {
      const text = StringPrototypeSlice(source, node.from, node.to);
      const render = (inner) => {
        const own = toDOMString(inner);
        return renderAll(parse(own, node.open, node.close), context, own);
      };
      return textOf(ReflectApply(value, context.value, [text, render]));
    }
    if (!ArrayIsArray(value)) return value ? renderAll(node, inside(context, value), source) : '';
    let out = '';
    for (let i = 0; i < value.length; i++) out += renderAll(node, inside(context, value[i]), source);
    return out;
  };

  const isNothing = (value) => !value || (ArrayIsArray(value) && value.length === 0);

  const renderAll = (node, context, source) => {
    const { children } = node;
    let out = '';
    for (let i = 0; i < children.length; i++) {
      const child = children[i];
      switch (child.kind) {
        case 'text': out += child.text; break;
        case 'escaped': out += escapeHtml(textOf(lookup(context, child.name, false))); break;
        case 'raw': out += textOf(lookup(context, child.name, false)); break;
        case '#': out += renderSection(child, context, source); break;
        default: if (isNothing(lookup(context, child.name, false))) out += renderAll(child, context, source);
      }
    }
    return out;
  };

  internal.renderMustache = (template, data) => {
    const text = toDOMString(template);
    return renderAll(parse(text, '{{', '}}'), inside(undefined, data), text);
  };
})
