export interface Totals {
  net: number;
  tax: number;
  due: number;
}

/** Rounds to whole cents. */
export function euros(amount: number): number {
  return Math.round(amount * 100) / 100;
}
