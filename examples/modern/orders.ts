// The modern form: an ES module in TypeScript. Returning the document saves it as returned.
import { euros, type Totals } from './lib/money.ts';

interface Line {
  sku: string;
  quantity: number;
  unitPrice: number;
  taxRate: number;
  total?: number;
}

interface Order {
  number: string;
  customer: { email: string };
  lines: Line[];
  totals?: Totals;
}

interface Context {
  logger: { info(...values: unknown[]): void };
}

export async function onPreSave(request: { body: Order }, context: Context) {
  const order = request.body;
  if (order.lines.length === 0) {
    return Response.json({ error: 'an order needs at least one line' }, { status: 400 });
  }
  order.number = order.number.trim().toUpperCase();
  order.customer.email = order.customer.email.trim().toLowerCase();
  for (const line of order.lines) line.total = euros(line.quantity * line.unitPrice);
  const net = order.lines.reduce((sum, line) => sum + line.total!, 0);
  const tax = order.lines.reduce((sum, line) => sum + line.total! * line.taxRate, 0);
  order.totals = { net: euros(net), tax: euros(tax), due: euros(net + tax) };
  context.logger.info('order', order.number, order.totals);
  return order;
}
