// presave.js as someone who reaches for lodash first would write it; needs a global `_`.
const DEFAULTS = { channel: 'web', customer: { tier: 'none' }, shipTo: { country: 'us' }, tags: [] };
const TAX = { MA: 0.0625, NY: 0.08875, CA: 0.075 };
const TIERS = { gold: 0.05, silver: 0.02 };
const MONTHS = _.split('Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec', ' ');
const EMAIL = /^[^\s@]+@[^\s@]+\.[a-z]{2,}$/i;

const squeeze = (s) => _.join(_.compact(_.split(s, /\s+/)), ' ');
const cents = (x) => _.round(x * 100);

function validate(order) {
  const rules = {
    number: (v) => /^SO-\d{4}-\d{5}$/i.test(v),
    'customer.email': (v) => EMAIL.test(squeeze(v)),
    'shipTo.zip': (v) => /^\d{5}(-\d{4})?$/.test(v),
    lines: (v) => _.isArray(v) && !_.isEmpty(v),
  };
  const bad = _.keys(_.omitBy(rules, (rule, path) => rule(_.get(order, path))));
  const badLines = _.filter(order.lines, (line) => !_.isInteger(line.qty) || line.qty < 1 || !(line.unitPrice >= 0));
  return _.concat(bad, _.map(badLines, 'sku'));
}

function priceLine(line) {
  const gross = cents(line.unitPrice) * line.qty;
  const discount = _.round(gross * _.get(line, 'discount', 0));
  return _.assign({}, line, {
    title: squeeze(line.title), slug: _.kebabCase(_.deburr(line.title)), gross, discount, net: gross - discount,
  });
}

function changes(before, after, path = []) {
  return _.flatMap(_.keys(after), (key) => {
    const at = _.concat(path, key);
    if (_.isPlainObject(after[key])) return changes(_.get(before, key, {}), after[key], at);
    if (_.isEqual(_.get(before, key), after[key]) || _.isArray(after[key])) return [];
    return [{ field: _.join(at, '.'), from: _.get(before, key, null), to: after[key] }];
  });
}

function handler(request) {
  const errors = validate(request);
  if (!_.isEmpty(errors)) return { ok: false, errors };
  const order = _.merge({}, DEFAULTS, request);
  _.update(order, 'number', _.toUpper);
  _.update(order, 'channel', _.flow(squeeze, _.toLower));
  _.update(order, 'customer.name', squeeze);
  _.update(order, 'customer.email', _.flow(squeeze, _.toLower));
  _.update(order, 'customer.phone', (phone) => _.replace(phone, /[^\d+]/g, ''));
  _.update(order, 'shipTo.street', squeeze);
  _.update(order, 'shipTo.city', _.startCase);
  _.update(order, 'shipTo.state', _.toUpper);
  _.update(order, 'tags', (tags) => _.sortBy(_.uniq(_.map(tags, _.flow(_.trim, _.toLower)))));

  order.lines = _.orderBy(_.map(order.lines, priceLine), ['net', 'sku'], ['desc', 'asc']);
  const subtotal = _.sumBy(order.lines, 'net');
  const loyalty = _.round(subtotal * _.get(TIERS, order.customer.tier, 0));
  const taxable = _.sumBy(_.filter(order.lines, 'taxable'), 'net');
  const tax = _.round(taxable * (1 - loyalty / subtotal) * _.get(TAX, order.shipTo.state, 0));
  const total = subtotal - loyalty + tax;

  const placed = new Date(order.placedAt);
  const day = `${placed.getUTCDate()} ${MONTHS[placed.getUTCMonth()]} ${placed.getUTCFullYear()}`;
  const audit = changes(_.omit(request, 'lines'), _.omit(order, 'lines'));
  return {
    ok: true,
    order: _.assign(order, {
      totals: { subtotal, loyalty, tax, total, display: `$${(total / 100).toFixed(2)}` },
      summary: {
        title: `${order.number}: ${order.customer.name}, ${_.sumBy(order.lines, 'qty')} items, ${day}`,
        slug: _.kebabCase(_.deburr(`${order.number} ${order.customer.name}`)),
        due: new Date(placed.getTime() + 30 * 86400000).toISOString().slice(0, 10),
        byCategory: _.mapValues(_.groupBy(order.lines, 'category'), (lines) => _.sumBy(lines, 'net')),
        best: _.pick(_.head(order.lines), ['sku', 'net']),
      },
      audit: _.map(audit, (entry, i) => _.assign({ seq: i + 1, at: placed.toISOString() }, entry)),
    }),
  };
}
