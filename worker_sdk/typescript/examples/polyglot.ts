/**
 * The TypeScript part of the example of one workflow in three languages: see examples/polyglot.py, which registers it.
 *
 *     node dist/examples/polyglot.js                  serves the stage `letters`
 *     node dist/examples/polyglot.js run "a text"     starts a run, and waits for it
 */

import { Client, FinalError, remote, stage, Worker } from "../src/index.js";

interface Text {
  body: string;
}

const letters = stage<Text>("letters", {
  run: (ctx, { body }) => {
    const found = body.toLowerCase().match(/\p{L}/gu);
    if (found === null) {
      throw new FinalError("there are no letters");
    }
    ctx.info("counting", { letters: found.length });
    ctx.progress(0.5, "half way");
    const counts = new Map<string, number>();
    for (const letter of found) {
      counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
    const [most] = [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
    return { count: found.length, most_frequent: most?.[0] };
  },
});

const [command, text] = process.argv.slice(2);
if (command === "run" && text !== undefined) {
  const client = new Client();
  const run = await client.runAndWait("polyglot", { body: text });
  console.log(run.state, JSON.stringify(run.output), run.error);
  client.close();
} else {
  await new Worker({ name: "polyglot-typescript", workflows: [remote("polyglot", letters)] }).runUntilSignal();
}
