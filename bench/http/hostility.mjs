// What hostile code does, as the body of a function: as `lode bench load --hostile` has it.
export const HOSTILITY = {
  loop: 'while (true);',
  memory: 'const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));',
  never: 'return new Promise(() => {});',
  late: 'setTimeout(() => { throw new Error("late"); }, 20); return new Promise(() => {});',
};
