// Polls TUF repositories with tuf-js. Each line on standard input asks for one poll: a JSON object with metadataDir (which holds the trusted
// root.json, and is where the client keeps what it trusts), targetDir, metadataURL and targets, the paths of target files. The answer is a
// line on standard output: {"contents": {path: content, ...}}, or {"error": text}.
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Updater } from 'tuf-js';

async function poll({ metadataDir, targetDir, metadataURL, targets }) {
  const updater = new Updater({
    metadataDir,
    targetDir,
    metadataBaseUrl: metadataURL,
    targetBaseUrl: `${metadataURL}/targets`,
    config: { fetchRetry: 0 }, // no failure is hidden
  });
  await updater.refresh();
  const contents = {};
  for (const path of targets) {
    const info = await updater.getTargetInfo(path);
    if (!info) {
      throw new Error(`target ${path} not found`);
    }
    contents[path] = await readFile(await updater.downloadTarget(info), 'utf8');
  }
  return contents;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { contents: await poll(JSON.parse(line)) };
  } catch (error) {
    answer = { error: error.stack };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
