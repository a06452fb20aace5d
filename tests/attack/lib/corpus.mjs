// All attacks, in the document's order of sections.
import credentials from '../corpus/credentials.mjs';
import deploy from '../corpus/deploy.mjs';
import egress from '../corpus/egress.mjs';
import { ELSEWHERE } from '../corpus/elsewhere.mjs';
import escapes from '../corpus/escapes.mjs';
import handlers from '../corpus/handlers.mjs';
import http from '../corpus/http.mjs';
import limits from '../corpus/limits.mjs';
import nesting from '../corpus/nesting.mjs';
import own from '../corpus/own-backend.mjs';
import poisoning from '../corpus/poisoning.mjs';
import queries from '../corpus/queries.mjs';
import residue from '../corpus/residue.mjs';

export const ATTACKS = [escapes, poisoning, handlers, limits, nesting, deploy, residue, egress, credentials, queries, http, own].flat();
export { ELSEWHERE };
