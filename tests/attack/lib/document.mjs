// docs/attacks.md as data, and whether the corpus covers it.
import { readFileSync } from 'node:fs';

export const DOCUMENT = new URL('../../../docs/attacks.md', import.meta.url);

/** A table's line as its cells; a bar that is escaped or within backticks is no border. */
function cells(line) {
  const found = [''];
  let code = false;
  for (let i = 1; i < line.length; i++) {
    const letter = line[i];
    if (letter === '\\' && line[i + 1] === '|') found[found.length - 1] += line[++i];
    else if (letter === '|' && !code) found.push('');
    else {
      if (letter === '`') code = !code;
      found[found.length - 1] += letter;
    }
  }
  return found.slice(0, -1).map((cell) => cell.trim());
}

/** The rows of the document's tables of ideas: `{section, idea, defence, test}`. */
export function rowsOf(text) {
  const rows = [];
  let section;
  let inIdeas = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) section = line.slice(3).trim();
    if (!line.startsWith('|')) {
      inIdeas = false;
      continue;
    }
    const row = cells(line);
    if (row[0] === 'Idea') inIdeas = true;
    else if (inIdeas && !/^-+$/.test(row[0])) {
      if (row.length !== 3) throw new Error(`a row of "${section}" has ${row.length} cells: ${line}`);
      rows.push({ section, idea: row[0], defence: row[1], test: row[2] });
    }
  }
  return rows;
}

export const readRows = () => rowsOf(readFileSync(DOCUMENT, 'utf8'));

/** What is wrong with the corpus, seen from the document: a list of sentences, empty if all is well. */
export function gaps(rows, attacks, elsewhere) {
  const problems = [];
  const ideas = new Set();
  for (const { idea, section } of rows) {
    if (ideas.has(idea)) problems.push(`two rows of the document have the idea "${idea}" (the second in "${section}")`);
    ideas.add(idea);
  }
  const tried = new Set(attacks.map(({ row }) => row));
  for (const { idea, section } of rows) {
    const reason = elsewhere.get(idea);
    if (tried.has(idea) && reason !== undefined) problems.push(`"${idea}" is tried, and said not to be possible over HTTP`);
    if (!tried.has(idea) && reason === undefined) problems.push(`no attack covers "${idea}" ("${section}")`);
  }
  for (const { id, row } of attacks) if (!ideas.has(row)) problems.push(`${id}: the document has no row "${row}"`);
  for (const idea of elsewhere.keys()) if (!ideas.has(idea)) problems.push(`not over HTTP: the document has no row "${idea}"`);
  const ids = attacks.map(({ id }) => id);
  for (const id of new Set(ids.filter((one, i) => ids.indexOf(one) !== i))) problems.push(`two attacks are called ${id}`);
  // The document names the attacks of its own section by id; a name that leads nowhere is no test.
  for (const { idea, test } of rows) {
    for (const [, id] of test.matchAll(/`tests\/attack\/[^`]*::([\w-]+)`/g)) {
      if (!ids.includes(id)) problems.push(`"${idea}" names the attack ${id}, which is not there`);
    }
  }
  return problems;
}
