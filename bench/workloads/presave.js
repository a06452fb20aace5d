// A customer's onPreSave hook on an order: check it, tidy it, price it.
const TAX = { MA: 0.0625, NY: 0.08875, CA: 0.075 };
const TIERS = { gold: 0.05, silver: 0.02 };
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const squeeze = (s) => String(s).trim().replace(/\s+/g, ' ');
const capitalise = (s) => s.toLowerCase().replace(/(^|[\s-])([a-z])/g, (_m, gap, c) => gap + c.toUpperCase());
const cents = (x) => Math.round(x * 100);
const slug = (s) => s.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').toLowerCase()
  .replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '');

function validate(order) {
  const errors = [];
  if (!/^SO-\d{4}-\d{5}$/i.test(order.number || '')) errors.push('number');
  if (!/^[^\s@]+@[^\s@]+\.[a-z]{2,}$/i.test(squeeze(order.customer.email))) errors.push('customer.email');
  if (!/^\d{5}(-\d{4})?$/.test(order.shipTo.zip)) errors.push('shipTo.zip');
  if (!Array.isArray(order.lines) || order.lines.length === 0) errors.push('lines');
  for (const [i, line] of order.lines.entries()) {
    if (!Number.isInteger(line.qty) || line.qty < 1) errors.push(`lines[${i}].qty`);
    if (!(line.unitPrice >= 0)) errors.push(`lines[${i}].unitPrice`);
  }
  return errors;
}

function priceLine(line) {
  const gross = cents(line.unitPrice) * line.qty;
  const discount = Math.round(gross * (line.discount || 0));
  return { ...line, title: squeeze(line.title), slug: slug(line.title), gross, discount, net: gross - discount };
}

function handler(order) {
  const errors = validate(order);
  if (errors.length > 0) return { ok: false, errors };
  const audit = [];
  const set = (target, key, value) => {
    if (target[key] !== value) audit.push({ field: key, from: target[key] ?? null, to: value });
    target[key] = value;
  };
  set(order, 'number', order.number.toUpperCase());
  set(order, 'channel', squeeze(order.channel).toLowerCase());
  set(order.customer, 'name', squeeze(order.customer.name));
  set(order.customer, 'email', squeeze(order.customer.email).toLowerCase());
  set(order.customer, 'phone', order.customer.phone.replace(/[^\d+]/g, ''));
  set(order.shipTo, 'street', squeeze(order.shipTo.street));
  set(order.shipTo, 'city', capitalise(order.shipTo.city));
  set(order.shipTo, 'state', order.shipTo.state.toUpperCase());
  order.tags = [...new Set(order.tags.map((tag) => tag.trim().toLowerCase()))].sort();

  order.lines = order.lines.map(priceLine)
    .sort((a, b) => b.net - a.net || (a.sku < b.sku ? -1 : 1));
  const sum = (pick, lines = order.lines) => lines.reduce((total, line) => total + pick(line), 0);
  const subtotal = sum((line) => line.net);
  const loyalty = Math.round(subtotal * (TIERS[order.customer.tier] || 0));
  const taxable = sum((line) => line.net, order.lines.filter((line) => line.taxable));
  const tax = Math.round(taxable * (1 - loyalty / subtotal) * (TAX[order.shipTo.state] || 0));
  const byCategory = {};
  for (const { category, net } of order.lines) byCategory[category] = (byCategory[category] || 0) + net;

  const placed = new Date(order.placedAt);
  const day = `${placed.getUTCDate()} ${MONTHS[placed.getUTCMonth()]} ${placed.getUTCFullYear()}`;
  const total = subtotal - loyalty + tax;
  order.totals = { subtotal, loyalty, tax, total, display: `$${(total / 100).toFixed(2)}` };
  order.summary = {
    title: `${order.number}: ${order.customer.name}, ${sum((line) => line.qty)} items, ${day}`,
    slug: slug(`${order.number} ${order.customer.name}`),
    due: new Date(placed.getTime() + 30 * 86400000).toISOString().slice(0, 10),
    byCategory,
    best: order.lines[0].sku,
  };
  order.audit = audit.map((entry, i) => ({ seq: i + 1, at: placed.toISOString(), ...entry }));
  return { ok: true, order };
}
