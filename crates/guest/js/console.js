// The console (console.spec.whatwg.org, with Node's texts), writing to the run's log. internal.format is
// its printf. Nothing here throws, whatever it is given: logging must not change what a script does.
(function (native, primordials, internal) {
  'use strict';
  const {
    ArrayPrototypeJoin,
    DateNow,
    Error,
    JSONStringify,
    Map,
    MapPrototypeDelete,
    MapPrototypeGet,
    MapPrototypeSet,
    NumberParseFloat,
    NumberParseInt,
    NumberPrototypeToFixed,
    ReflectApply,
    ReflectGetOwnPropertyDescriptor,
    ReflectOwnKeys,
    StringPrototypeEndsWith,
    StringPrototypeIndexOf,
    StringPrototypePadEnd,
    StringPrototypeRepeat,
    StringPrototypeSlice,
  } = primordials;
  const { inspect, list, replaceAll } = internal;
  const { isData, primitive, shortened, stackOf } = internal.leaves;

  const DEBUG = 0;
  const INFO = 1;
  const WARN = 2;
  const ERROR = 3;
  const MAX_INDENT = 40;
  const MAX_ROWS = 100;
  const DETAILED = 4;

  // ---- printf ----

  const plain = (v) => (typeof v === 'string' ? shortened(v) : inspect(v));

  // %d and %i of an object are NaN: asking it for a number would run its own code.
  const number = (v, parse) => (internal.isObject(v) || typeof v === 'symbol' ? 'NaN' : parse(v));
  const asDecimal = (v) => primitive(typeof v === 'bigint' ? v : +v);
  const asInteger = (v) => primitive(typeof v === 'bigint' ? v : NumberParseInt(v));
  const asFloat = (v) => primitive(NumberParseFloat(v));

  // %j is the one directive that may run customer code (toJSON, getters): it asks for exactly that.
  const json = (v) => {
    try {
      const text = JSONStringify(v);
      return typeof text === 'string' ? shortened(text) : 'undefined';
    } catch {
      return internal.isObject(v) ? '[Circular or unserializable]' : plain(v);
    }
  };

  // What `%<letter>` makes of a value; undefined: not a directive.
  const directive = (letter, v) => {
    switch (letter) {
      case 's': return typeof v === 'string' ? shortened(v) : inspect(v, 0);
      case 'd': return number(v, asDecimal);
      case 'i': return number(v, asInteger);
      case 'f': return number(v, asFloat);
      case 'j': return json(v);
      case 'o': return inspect(v, DETAILED);
      case 'O': return inspect(v);
      case 'c': return ''; // styles have no place in a log
      default: return undefined;
    }
  };

  internal.format = (args) => {
    const parts = list();
    let next = 0;
    if (args.length > 1 && typeof args[0] === 'string') {
      const template = args[0];
      let text = '';
      let start = 0;
      next = 1;
      for (let at = StringPrototypeIndexOf(template, '%'); at >= 0 && at + 1 < template.length;) {
        const letter = template[at + 1];
        let shown;
        if (letter === '%') {
          shown = '%';
        } else if (next < args.length) {
          shown = directive(letter, args[next]);
          if (shown !== undefined) next++;
        }
        if (shown !== undefined) {
          text += StringPrototypeSlice(template, start, at) + shown;
          start = at + 2;
        }
        at = StringPrototypeIndexOf(template, '%', letter === '%' || shown !== undefined ? at + 2 : at + 1);
      }
      parts[0] = shortened(text + StringPrototypeSlice(template, start));
    }
    for (; next < args.length; next++) parts[parts.length] = plain(args[next]);
    return internal.limitText(ArrayPrototypeJoin(parts, ' '));
  };

  // ---- state ----

  const counts = new Map();
  const timers = new Map();
  let indent = '';
  let surplus = 0; // groups deeper than indentation goes

  const write = (level, text) => native.log(level, internal.limitText(
    indent === '' ? text : indent + replaceAll(text, '\n', '\n' + indent)));
  const print = (level, args) => write(level, internal.format(args));

  const labelOf = (label) => (label === undefined ? 'default' : plain(label));

  const elapsed = (label) => {
    const started = MapPrototypeGet(timers, label);
    if (started === undefined) {
      write(WARN, "No such label '" + label + "' for console.time()");
      return undefined;
    }
    const ms = DateNow() - started;
    return label + ': ' + (ms < 1000 ? ms + 'ms' : NumberPrototypeToFixed(ms / 1000, 3) + 's');
  };

  // ---- table ----

  const cell = (v) => inspect(v, 0);

  // Calls callback(key, value) for what a table shows of a value: indices or enumerable keys, up to a limit.
  const forEachShown = (value, callback) => {
    const keys = ReflectOwnKeys(value);
    for (let i = 0, shown = 0; i < keys.length && shown < MAX_ROWS; i++) {
      const found = typeof keys[i] === 'string' ? ReflectGetOwnPropertyDescriptor(value, keys[i]) : undefined;
      if (found === undefined || !found.enumerable || !isData(found)) continue;
      callback(keys[i], found.value);
      shown++;
    }
  };
  const isTable = (v) => {
    const kind = native.classOf(v);
    return kind === 'Object' || kind === 'Array';
  };

  const drawTable = (columns, rows) => {
    const widths = list();
    for (let c = 0; c < columns.length; c++) {
      let width = columns[c].length;
      for (let r = 0; r < rows.length; r++) {
        if (c in rows[r] && rows[r][c].length > width) width = rows[r][c].length;
      }
      widths[c] = width + 2;
    }
    const rule = (left, middle, right) => {
      const dashes = list();
      for (let c = 0; c < widths.length; c++) dashes[c] = StringPrototypeRepeat('─', widths[c]);
      return left + ArrayPrototypeJoin(dashes, middle) + right;
    };
    const line = (row) => {
      const cells = list();
      for (let c = 0; c < widths.length; c++) {
        cells[c] = StringPrototypePadEnd(c in row ? ' ' + row[c] : '', widths[c]);
      }
      return '│' + ArrayPrototypeJoin(cells, '│') + '│';
    };
    let text = rule('┌', '┬', '┐') + '\n' + line(columns) + '\n' + rule('├', '┼', '┤') + '\n';
    for (let r = 0; r < rows.length; r++) text += line(rows[r]) + '\n';
    return text + rule('└', '┴', '┘');
  };

  const tableOf = (data, only) => {
    const columns = list();
    const columnAt = { __proto__: null };
    const addColumn = (key) => {
      columnAt[key] = columns.length;
      columns[columns.length] = key;
    };
    addColumn('(index)');
    if (only !== undefined) {
      forEachShown(only, (i, key) => { if (typeof key === 'string' && !(key in columnAt)) addColumn(key); });
    }
    const rows = list();
    const values = list(); // of the rows that are not tables themselves: the last column
    forEachShown(data, (index, value) => {
      const row = list();
      row[0] = index;
      if (isTable(value)) {
        forEachShown(value, (key, item) => {
          if (only === undefined && !(key in columnAt)) addColumn(key);
          if (key in columnAt) row[columnAt[key]] = cell(item);
        });
      } else {
        values[rows.length] = cell(value);
      }
      rows[rows.length] = row;
    });
    if (values.length > 0) {
      const at = columns.length;
      columns[at] = 'Values';
      for (let r = 0; r < values.length; r++) if (r in values) rows[r][at] = values[r];
    }
    return drawTable(columns, rows);
  };

  // ---- methods ----

  const methods = {
    __proto__: null,
    log(...args) { print(INFO, args); },
    info(...args) { print(INFO, args); },
    debug(...args) { print(DEBUG, args); },
    warn(...args) { print(WARN, args); },
    error(...args) { print(ERROR, args); },
    trace(...args) {
      const head = args.length === 0 ? 'Trace' : 'Trace: ' + internal.format(args);
      try {
        throw new Error(); // even out of memory or stack there is something to catch
      } catch (here) {
        const stack = stackOf(here);
        const at = typeof stack === 'string' ? StringPrototypeIndexOf(stack, '    at ') : -1;
        const end = typeof stack === 'string' && StringPrototypeEndsWith(stack, '\n') ? -1 : undefined;
        write(INFO, at < 0 ? head : head + '\n' + StringPrototypeSlice(stack, at, end));
      }
    },
    dir(item = undefined, options = undefined) {
      const found = internal.isObject(options) && native.classOf(options) !== 'Proxy'
        ? ReflectGetOwnPropertyDescriptor(options, 'depth') : undefined;
      const depth = found !== undefined && isData(found) ? found.value : undefined;
      write(INFO, inspect(item, depth === null ? Infinity : typeof depth === 'number' ? depth : undefined));
    },
    table(data = undefined, properties = undefined) {
      if (!isTable(data)) print(INFO, [data]);
      else write(INFO, tableOf(data, isTable(properties) ? properties : undefined));
    },
    assert(condition = false, ...args) {
      if (condition) return;
      const detail = args.length === 0 ? '' : internal.format(args);
      write(ERROR, detail === '' ? 'Assertion failed' : 'Assertion failed: ' + detail);
    },
    count(label = 'default') {
      const name = labelOf(label);
      const count = (MapPrototypeGet(counts, name) ?? 0) + 1;
      MapPrototypeSet(counts, name, count);
      write(INFO, name + ': ' + count);
    },
    countReset(label = 'default') {
      const name = labelOf(label);
      if (!MapPrototypeDelete(counts, name)) write(WARN, "Count for '" + name + "' does not exist");
    },
    time(label = 'default') {
      const name = labelOf(label);
      if (MapPrototypeGet(timers, name) === undefined) MapPrototypeSet(timers, name, DateNow());
      else write(WARN, "Label '" + name + "' already exists for console.time()");
    },
    timeLog(label = 'default', ...args) {
      const text = elapsed(labelOf(label));
      if (text !== undefined) write(INFO, args.length === 0 ? text : text + ' ' + internal.format(args));
    },
    timeEnd(label = 'default') {
      const name = labelOf(label);
      const text = elapsed(name);
      if (text !== undefined) write(INFO, text);
      MapPrototypeDelete(timers, name);
    },
    group(...args) {
      if (args.length > 0) print(INFO, args);
      if (indent.length < MAX_INDENT) indent += '  ';
      else surplus++;
    },
    groupCollapsed(...args) { ReflectApply(methods.group, this, args); },
    groupEnd() {
      if (surplus > 0) surplus--;
      else indent = StringPrototypeSlice(indent, 2);
    },
  };

  const console = {};
  const names = ReflectOwnKeys(methods);
  for (let i = 0; i < names.length; i++) internal.define(console, names[i], methods[names[i]], true);
  internal.tag(console, 'console');
  internal.defineGlobal('console', console);
})
