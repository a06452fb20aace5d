// What the query tests look for, and every condition that the SDKs' Query classes can build. Both have the same
// methods: a case is what is built, and whom it finds.

/** Sent in this order; `_id` is `p-<name>`. Miles from [-71.06, 42.35], Boston: ada 0, bob 2.8, eve 187, dan 2,692. */
export const people = [
  { name: 'ada', age: 36, city: 'Boston', tags: ['math', 'code'], score: 12, _geoloc: [-71.06, 42.35], boss: null, home: { floor: 3, street: 'Main St' } },
  { name: 'bob', age: 24, city: 'Cambridge', tags: ['code'], score: 7, _geoloc: [-71.11, 42.37], boss: 'ada', home: { floor: 1, street: 'Broadway' } },
  { name: 'cyd', age: 41, city: 'boston', tags: [], score: -3.5, boss: 'ada' },
  { name: 'dan', age: 24, city: 'San Francisco', tags: ['math', 'art', 'code'], score: 0, _geoloc: [-122.42, 37.77], home: { floor: 3, street: 'Market' } },
  { name: 'eve', age: '24', city: 'New York\nBoston', tags: 'code', _geoloc: [-74, 40.71], boss: 'bob' },
].map((person) => ({ _id: `p-${person.name}`, ...person }));

/**
 * [what, build(query, Query), the names that are found: a list where the query sorts them]. Calls of `and` and `or`
 * without a query are left out: what the SDKs then send has lost what the chain began with.
 */
export const cases = [
  ['equalTo a number', (q) => q.equalTo('age', 24), 'bob dan'],
  ['equalTo a text', (q) => q.equalTo('age', '24'), 'eve'],
  ['equalTo null, which what is missing is, too', (q) => q.equalTo('boss', null), 'ada dan'],
  ['equalTo an item of an array', (q) => q.equalTo('tags', 'code'), 'ada bob dan eve'],
  ['equalTo a whole array', (q) => q.equalTo('tags', ['code']), 'bob'],
  ['equalTo a field within', (q) => q.equalTo('home.floor', 3), 'ada dan'],
  ['equalTo a whole object', (q) => q.equalTo('home', { floor: 1, street: 'Broadway' }), 'bob'],
  ['notEqualTo', (q) => q.notEqualTo('age', 24), 'ada cyd eve'],
  ['notEqualTo where the field is missing', (q) => q.notEqualTo('home.floor', 3), 'bob cyd eve'],
  ['contains', (q) => q.contains('name', ['ada', 'eve', 'zoe']), 'ada eve'],
  ['contains one', (q) => q.contains('tags', 'art'), 'dan'],
  ['notContainedIn', (q) => q.notContainedIn('name', ['ada', 'eve']), 'bob cyd dan'],
  ['containsAll', (q) => q.containsAll('tags', ['math', 'code']), 'ada dan'],
  ['greaterThan a number', (q) => q.greaterThan('age', 24), 'ada cyd'],
  ['greaterThan a text', (q) => q.greaterThan('name', 'cyd'), 'dan eve'],
  ['greaterThanOrEqualTo', (q) => q.greaterThanOrEqualTo('score', 7), 'ada bob'],
  ['lessThan', (q) => q.lessThan('score', 0), 'cyd'],
  ['lessThanOrEqualTo', (q) => q.lessThanOrEqualTo('score', 0), 'cyd dan'],
  ['a range', (q) => q.greaterThan('age', 24).lessThan('age', 40), 'ada'],
  ['exists', (q) => q.exists('home'), 'ada bob dan'],
  ['exists, a null counting', (q) => q.exists('boss'), 'ada bob cyd eve'],
  ['not exists', (q) => q.exists('_geoloc', false), 'cyd'],
  ['mod', (q) => q.mod('age', 12), 'ada bob dan'],
  ['mod with a remainder', (q) => q.mod('age', 10, 1), 'cyd'],
  ['matches a text', (q) => q.matches('city', '^Bos'), 'ada'],
  ['matches a regular expression', (q) => q.matches('name', /^[ab]/), 'ada bob'],
  ['matches over lines', (q) => q.matches('city', /^Boston/m), 'ada eve'],
  ['matches, extended', (q) => q.matches('name', '^e v e # whoever', { extended: true }), 'eve'],
  ['matches, the dot being all', (q) => q.matches('city', '^New.*Boston$', { dotMatchesAll: true }), 'eve'],
  ['matches not, the dot being no line\'s end', (q) => q.matches('city', '^New.*Boston$'), ''],
  ['near, the nearest first', (q) => q.near('_geoloc', [-71.06, 42.35]), ['ada', 'bob', 'eve', 'dan']],
  ['near within 10 miles', (q) => q.near('_geoloc', [-71.06, 42.35], 10), ['ada', 'bob']],
  ['near within 200 miles', (q) => q.near('_geoloc', [-71.06, 42.35], 200), ['ada', 'bob', 'eve']],
  ['near within 2 miles', (q) => q.near('_geoloc', [-71.06, 42.35], 2), ['ada']],
  ['near and another condition', (q) => q.near('_geoloc', [-71.06, 42.35]).equalTo('age', 24), ['bob', 'dan']],
  ['near with a limit', (q) => { q.limit = 2; return q.near('_geoloc', [-122, 37]); }, ['dan', 'eve']],
  ['withinBox', (q) => q.withinBox('_geoloc', [-75, 40], [-71.08, 43]), 'bob eve'],
  ['withinPolygon', (q) => q.withinPolygon('_geoloc', [[-72, 42], [-70, 42], [-71, 43]]), 'ada bob'],
  ['size', (q) => q.size('tags', 3), 'dan'],
  ['size of nothing', (q) => q.size('tags', 0), 'cyd'],
  ['and of two queries', (q, Query) => q.equalTo('age', 24).and(new Query().equalTo('city', 'Cambridge')), 'bob'],
  ['or of two queries', (q, Query) => q.equalTo('name', 'ada').or(new Query().equalTo('name', 'bob')), 'ada bob'],
  ['nor', (q, Query) => q.equalTo('name', 'ada').nor(new Query().equalTo('age', 24)), 'cyd eve'],
  ['or of three', (q, Query) => q.equalTo('name', 'ada').or(new Query().size('tags', 0), new Query().mod('score', 7)), 'ada bob cyd dan'],
  ['a condition and an or', (q, Query) => {
    q.equalTo('age', 24).or(new Query().equalTo('age', 36));
    q.and(new Query().greaterThan('score', 5));
  }, 'ada bob'],
  ['equalTo the _id', (q) => q.equalTo('_id', 'p-cyd'), 'cyd'],
  ['contains of _ids', (q) => q.contains('_id', ['p-dan', 'p-ada', 'p-zoe']), 'ada dan'],
  ['ascending', (q) => q.exists('score').ascending('score'), ['cyd', 'dan', 'bob', 'ada']],
  ['descending', (q) => q.exists('score').descending('score'), ['ada', 'bob', 'dan', 'cyd']],
  ['by two fields', (q) => q.contains('age', [24, 36]).ascending('age').descending('name'), ['dan', 'bob', 'ada']],
  ['missing ones first, numbers before texts', (q) => q.ascending('age').ascending('name'), ['bob', 'dan', 'ada', 'cyd', 'eve']],
  ['by a field within', (q) => q.ascending('home.street').ascending('name'), ['cyd', 'eve', 'bob', 'ada', 'dan']],
  ['limit', (q) => { q.limit = 2; return q.ascending('name'); }, ['ada', 'bob']],
  ['skip', (q) => { q.skip = 3; return q.ascending('name'); }, ['dan', 'eve']],
  ['skip and limit', (q) => { q.skip = 1; q.limit = 2; return q.descending('name'); }, ['dan', 'cyd']],
  ['skip past the end', (q) => { q.skip = 100; return q.ascending('name'); }, []],
  ['nothing', (q) => q.equalTo('name', 'zoe'), ''],
  ['everything', (q) => q, 'ada bob cyd dan eve'],
];

/** Builds a case's query. */
export function build([, how, , isFluent], Query) {
  const query = new Query();
  const returned = how(query, Query);
  return isFluent ? returned : query;
}

/** The names that were found, in the form that a case's are in. */
export function names(found, expected) {
  const all = found.map((person) => person.name);
  return Array.isArray(expected) ? all : all.sort().join(' ');
}
