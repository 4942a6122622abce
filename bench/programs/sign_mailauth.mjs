// Signs messages with mailauth: node sign_mailauth.mjs KEY DOMAIN SELECTOR; see bench/program.py for what it reads and answers.

import { readFileSync } from "node:fs";
import workerThreads from "node:worker_threads";

import { serve } from "./tasks.mjs";

// Below Node 22, the HTTP client that mailauth loads for BIMI looks for this function when it is loaded, and is never used here.
workerThreads.markAsUncloneable ??= () => {};
const { dkimSign } = await import("mailauth/lib/dkim/sign.js");

const [path, signingDomain, selector] = process.argv.slice(2);
const privateKey = readFileSync(path, "utf8");

async function sign(message) {
  const { signatures, errors } = await dkimSign(message, {
    canonicalization: "relaxed/relaxed",
    algorithm: "rsa-sha256",
    signatureData: [{ signingDomain, selector, privateKey }],
  });
  if (errors?.length) {
    throw new Error(errors.map((each) => each.err ?? each).join(", "));
  }
  return signatures;
}

await serve(
  (message) => () => sign(message),
  (signatures) => /bh=([^;]+)/.exec(signatures.replace(/\s+/g, ""))[1],
);
