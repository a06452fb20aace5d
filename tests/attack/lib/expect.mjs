// What may become of an attack, in the words of docs/kinvey.md's table of outcomes.
export const ok = { ok: true };
export const answers = (body) => ({ ok: true, body });
export const cpu = { error: 'BLTimeoutError', debug: /cpu/ };
export const wall = { error: 'BLTimeoutError', debug: /wall|time/ };
export const never = { error: 'BLTimeoutError', debug: /complet/ };
export const violates = (limit) => ({ error: 'BLViolationError', debug: new RegExp(limit) });
export const memory = violates('memory');
export const threw = (debug = /./) => ({ error: 'BLRuntimeError', debug: typeof debug === 'string' ? new RegExp(debug) : debug });
export const syntax = { error: 'BLSyntaxError' };
/** A limit or an error of the engine's, whichever comes first. */
export const ends = [cpu, memory, threw()];
/** It ends in the script's name or works; none of these is the platform's fault. */
export const harmless = [ok, cpu, memory, threw(), never, violates('.')];
