// Judges a message the way a receiver would, with mailauth: DKIM, SPF, DMARC and ARC, strictly by their RFCs.
// node verify_mail.mjs --dns 127.0.0.1:5353 --ip CLIENT --helo NAME --sender REVERSE_PATH [--at SECONDS] < message > verdict.json

import { promises as dns } from "node:dns";
import { buffer } from "node:stream/consumers";
import { parseArgs } from "node:util";
import workerThreads from "node:worker_threads";

// Below Node 22, the HTTP client that mailauth loads for BIMI looks for this function when it is loaded, and is never used here.
workerThreads.markAsUncloneable ??= () => {};
const { default: mailauth } = await import("mailauth");

const { values } = parseArgs({
  options: {
    dns: { type: "string" },
    ip: { type: "string" },
    helo: { type: "string" },
    sender: { type: "string" },
    at: { type: "string" },
  },
});

if (values.at) {
  // A receiver at another time: signatures begin and end, and mailauth asks the clock itself.
  const ahead = Number(values.at) * 1000 - Date.now();
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...given) {
      super(...(given.length ? given : [RealDate.now() + ahead]));
    }
    static now() {
      return RealDate.now() + ahead;
    }
  };
}

const resolver = new dns.Resolver({ timeout: 2000, tries: 2 });
resolver.setServers([values.dns]);

const { dkim, spf, dmarc, arc, headers } = await mailauth.authenticate(await buffer(process.stdin), {
  ip: values.ip,
  helo: values.helo,
  sender: values.sender,
  mta: "verifier.test",
  resolver: (name, type) => resolver.resolve(name, type),
  disableArc: false,
  disableBimi: true,
  strict: true,
});

const verdict = {
  dkim: (dkim.results ?? [])
    .filter((signature) => signature.signingDomain)
    .map((signature) => ({
      result: signature.status.result,
      comment: signature.status.comment ?? "",
      domain: signature.signingDomain,
      selector: signature.selector,
      algorithm: signature.algo,
      canonicalization: signature.format,
      aligned: signature.status.aligned || "",
    })),
  spf: { result: spf?.status?.result ?? "none", comment: spf?.status?.comment ?? "", domain: spf?.domain ?? "" },
  dmarc: {
    result: dmarc?.status?.result ?? "none",
    comment: dmarc?.status?.comment ?? "",
    domain: dmarc?.domain ?? "",
    policy: dmarc?.policy ?? "",
    alignment: dmarc?.alignment ?? {},
  },
  arc: { result: arc?.status?.result ?? "none", comment: arc?.status?.comment ?? "", instance: arc?.i || 0 },
  headers,
};
process.stdout.write(JSON.stringify(verdict));
