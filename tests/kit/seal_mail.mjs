// Seals a message the way a forwarder would, with mailauth: Authentication-Results, and an ARC set with the next instance.
// node seal_mail.mjs --dns 127.0.0.1:5353 --domain example.com --selector s1 --key FILE.pem < message > sealed message

import { promises as dns } from "node:dns";
import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { parseArgs } from "node:util";
import workerThreads from "node:worker_threads";

// Below Node 22, the HTTP client that mailauth loads for BIMI looks for this function when it is loaded, and is never used here.
workerThreads.markAsUncloneable ??= () => {};
const { default: mailauth } = await import("mailauth");

const { values } = parseArgs({
  options: { dns: { type: "string" }, domain: { type: "string" }, selector: { type: "string" }, key: { type: "string" } },
});

const resolver = new dns.Resolver({ timeout: 2000, tries: 2 });
resolver.setServers([values.dns]);

const message = await buffer(process.stdin);
const { headers, arc } = await mailauth.authenticate(message, {
  ip: "192.0.2.1",
  helo: "forwarder.test",
  sender: `forwarder@${values.domain}`,
  mta: "forwarder.test",
  resolver: (name, type) => resolver.resolve(name, type),
  seal: { signingDomain: values.domain, selector: values.selector, privateKey: readFileSync(values.key) },
  disableBimi: true,
});
if (arc.sealErrors) throw new Error(JSON.stringify(arc.sealErrors));
process.stdout.write(Buffer.concat([Buffer.from(headers), message]));
