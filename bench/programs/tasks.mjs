// The loop of the measured programs that are written in JavaScript; tasks.py is the same in Python.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

async function round(work, least, result) {
  let outcome = await work();
  let count = 0;
  let seconds = 0;
  const began = performance.now();
  while (seconds < least || !count) {
    outcome = await work();
    count += 1;
    seconds = (performance.now() - began) / 1000;
  }
  return { count, seconds, result: result(outcome) };
}

export async function serve(workOn, result) {
  const seen = new Set();
  for await (const line of createInterface({ input: process.stdin })) {
    const task = JSON.parse(line);
    let answer;
    try {
      const work = workOn(readFileSync(task.input));
      // Before the first clock starts a whole round is run: the compiler of JavaScript learns from it what is worth compiling.
      if (!seen.has(task.input)) {
        await round(work, task.seconds, result);
        seen.add(task.input);
      }
      answer = await round(work, task.seconds, result);
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
}
