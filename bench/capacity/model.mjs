// A discrete-event simulation of stations that requests pass through, and what apps' popularity makes of caches.
// Times are in seconds. Everything is a function of its arguments and the seed.

/** Uniform numbers in [0, 1): sfc32. */
export function random(seed) {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, seed >>> 0, 1];
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 20; i++) next();
  return next;
}

const normal = (uniform) => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/**
 * A sampler of a cost in ms, in seconds: `{mean, cv}` is lognormal (cv 0: fixed), `{mean, dist: 'exponential'}`,
 * `{p50, p99}` is lognormal through both.
 */
export function sampler(cost, uniform) {
  if (cost.dist === 'exponential') return () => -Math.log(1 - uniform()) * cost.mean / 1e3;
  let mu, sigma;
  if (cost.p50 !== undefined) {
    mu = Math.log(cost.p50);
    sigma = Math.log(cost.p99 / cost.p50) / 2.3263478740408408;
  } else {
    if (!cost.cv) return () => cost.mean / 1e3;
    sigma = Math.sqrt(Math.log(1 + cost.cv ** 2));
    mu = Math.log(cost.mean) - sigma ** 2 / 2;
  }
  return () => Math.exp(mu + sigma * normal(uniform)) / 1e3;
}

/** A sampler's mean, in ms. */
export function mean(cost) {
  if (cost.p50 === undefined) return cost.mean;
  return cost.p50 * Math.exp((Math.log(cost.p99 / cost.p50) / 2.3263478740408408) ** 2 / 2);
}

/** Events by time; those of one time in the order in which they were put in. */
class Heap {
  items = [];
  count = 0;
  put(time, what) {
    const items = this.items;
    const item = { time, order: this.count++, what };
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, items[parent])) break;
      items[at] = items[parent];
      at = parent;
    }
    items[at] = item;
  }
  take() {
    const items = this.items;
    const first = items[0];
    const last = items.pop();
    if (items.length > 0) {
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= items.length) break;
        if (child + 1 < items.length && before(items[child + 1], items[child])) child++;
        if (!before(items[child], last)) break;
        items[at] = items[child];
        at = child;
      }
      items[at] = last;
    }
    return first;
  }
}
const before = (a, b) => a.time < b.time || (a.time === b.time && a.order < b.order);

/** Hosts of one kind, each with a queue and some servers, first come, first served. */
class Station {
  constructor({ hosts = 1, servers }) {
    this.servers = servers;
    this.hosts = Array.from({ length: hosts }, () => ({ busy: 0, queue: [], head: 0 }));
    this.turn = 0;
    this.inside = this.busy = 0;
    this.last = this.insideArea = this.busyArea = 0;
    this.waits = [];
    this.entered = 0;
  }
  /** Brings the integrals up to `now`. */
  clock(now) {
    this.insideArea += this.inside * (now - this.last);
    this.busyArea += this.busy * (now - this.last);
    this.last = now;
  }
}

export const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
const average = (list) => list.reduce((sum, value) => sum + value, 0) / (list.length || 1);

/**
 * Sends `count` requests, as a Poisson process of `rate` per second, each along `route()`: a list of
 * `[station or null, seconds]`. Null is a pure delay. A request stays with the host of a station that it first came
 * to; hosts take turns. The first `warmUp` (a share) are not counted.
 */
export function simulate({ rate, count, seed = 1, warmUp = 0.2, stations, route }) {
  const uniform = random(seed);
  const all = Object.fromEntries(Object.entries(stations).map(([name, station]) => [name, new Station(station)]));
  const events = new Heap();
  const latencies = [];
  const from = Math.floor(count * warmUp);
  let arrived = 0;
  let done = 0;
  let since = 0;
  let now = 0;
  const start = (station, host, request, wait) => {
    host.busy++;
    station.clock(now);
    station.busy++;
    if (request.counted) station.waits.push(wait);
    request.wait += wait;
    events.put(now + request.route[request.at][1], request);
  };
  const advance = (request) => {
    const step = request.route[++request.at];
    if (step === undefined) {
      if (request.counted) latencies.push(now - request.since);
      done++;
      return;
    }
    if (step[0] === null) {
      events.put(now + step[1], request);
      return;
    }
    const station = all[step[0]];
    const host = request.hosts[step[0]] ??= station.hosts[station.turn++ % station.hosts.length];
    station.clock(now);
    station.inside++;
    if (request.counted) station.entered++;
    request.came = now;
    if (host.busy < station.servers) start(station, host, request, 0);
    else host.queue.push(request);
  };
  const leave = (request) => {
    const name = request.route[request.at][0];
    if (name === null) return;
    const station = all[name];
    const host = request.hosts[name];
    station.clock(now);
    station.inside--;
    station.busy--;
    host.busy--;
    if (host.head < host.queue.length) {
      const next = host.queue[host.head++];
      if (host.head > 1000 && host.head * 2 > host.queue.length) {
        host.queue.splice(0, host.head);
        host.head = 0;
      }
      start(station, host, next, now - next.came);
    }
  };
  events.put(0, null);
  while (events.items.length > 0 && done < count) {
    const event = events.take();
    now = event.time;
    if (event.what !== null) {
      leave(event.what);
      advance(event.what);
      continue;
    }
    if (arrived === from) {
      since = now;
      for (const station of Object.values(all)) {
        station.clock(now);
        station.insideArea = station.busyArea = 0;
      }
    }
    const counted = arrived >= from;
    if (++arrived < count) events.put(now - Math.log(1 - uniform()) / rate, null);
    advance({ route: route(), at: -1, since: now, came: now, wait: 0, hosts: {}, counted });
  }
  const took = now - since;
  latencies.sort((a, b) => a - b);
  const result = { latency: summary(latencies), stations: {}, seconds: took };
  for (const [name, station] of Object.entries(all)) {
    station.clock(now);
    station.waits.sort((a, b) => a - b);
    result.stations[name] = {
      utilisation: station.busyArea / took / (station.servers * station.hosts.length),
      inside: station.insideArea / took,
      perSecond: station.entered / took,
      wait: summary(station.waits),
    };
  }
  return result;
}

const summary = (sorted) => ({
  mean: average(sorted), p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), p99: quantile(sorted, 0.99),
});

/**
 * The apps' shares of the requests (Zipf), of that one of `cells` cells which has the largest app, when apps are
 * spread evenly: groups of apps `{apps, share}` (share: of one app, of all requests of all cells), at most about 1 %
 * apart in rank.
 */
export function popularity(apps, exponent, cells = 1) {
  const sum = (first, last) => { // of rank^-exponent; exact for the first ones, by the integral's midpoint after that
    if (last - first < 64) {
      let s = 0;
      for (let rank = first; rank <= last; rank++) s += rank ** -exponent;
      return s;
    }
    const [a, b] = [first - 0.5, last + 0.5];
    return Math.abs(exponent - 1) < 1e-9 ? Math.log(b / a) : (b ** (1 - exponent) - a ** (1 - exponent)) / (1 - exponent);
  };
  const all = [];
  for (let first = 1; first <= apps;) {
    const last = Math.min(apps, Math.max(first, Math.floor(first * 1.01)));
    all.push({ apps: last - first + 1, weight: sum(first, last) });
    first = last + 1;
  }
  const total = all.reduce((s, group) => s + group.weight, 0);
  // The largest app, and of all others this cell's part.
  return all.map((group, index) => ({
    apps: index === 0 ? 1 : group.apps / cells,
    share: group.weight / group.apps / total,
  }));
}

/**
 * How often a task finds its app's snapshot in no child of its worker (Che's approximation of an LRU cache), and how
 * often not even built there, for each group of apps; `rate` is the tasks per second of one worker if all cells' tasks
 * went there, `room` the snapshots it holds, `lifetime` the seconds since it began with none, on average of its life.
 */
export function coldness(groups, { rate, room, lifetime }) {
  const apps = groups.reduce((sum, group) => sum + group.apps, 0);
  let time = Infinity;
  if (apps > room) {
    let [low, high] = [-30, 60];
    for (let i = 0; i < 80; i++) {
      const middle = (low + high) / 2;
      const held = groups.reduce((sum, g) => sum - g.apps * Math.expm1(-g.share * rate * Math.exp(middle)), 0);
      if (held < room) low = middle; else high = middle;
    }
    time = Math.exp(low);
  }
  return groups.map(({ share }) => {
    const seen = share * rate * lifetime;
    return { cold: Math.exp(-share * rate * time), build: seen < 1e-9 ? 1 : -Math.expm1(-seen) / seen };
  });
}
