// Says what tuf-js makes of each vector in a folder: {"valid/timestamp": "valid", ...} on standard output. The folder has a root.json, by whose
// roles the vectors are verified, and folders of vectors, whose names begin with their role.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Metadata } from '@tufjs/models';

const folder = process.argv[2];
const read = (role, text) => Metadata.fromJSON(role, JSON.parse(text));
const root = read('root', await readFile(join(folder, 'root.json'), 'utf8'));

function verdict(role, text) {
  let document;
  try {
    document = read(role, text);
  } catch {
    return 'rejected';
  }
  try {
    root.verifyDelegate(role, document);
    if (role === 'root') {
      document.verifyDelegate(role, document);
    }
  } catch {
    return 'unverified';
  }
  return 'valid';
}

const verdicts = {};
for (const entry of await readdir(folder, { withFileTypes: true })) {
  if (!entry.isDirectory()) {
    continue;
  }
  for (const file of await readdir(join(folder, entry.name))) {
    const name = file.slice(0, -'.json'.length);
    verdicts[`${entry.name}/${name}`] = verdict(name.split('-')[0], await readFile(join(folder, entry.name, file), 'utf8'));
  }
}
process.stdout.write(JSON.stringify(verdicts));
