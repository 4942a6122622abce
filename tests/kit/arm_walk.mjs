// Every operation of the management plane through the official JavaScript client: makes everything, asks for it, changes it and
// deletes it. node arm_walk.mjs GROUP DOMAIN, with POSTRIDER_ENDPOINT, POSTRIDER_ADMIN_TOKEN and AZURE_SUBSCRIPTION_ID.
// CROWD_SUBSCRIPTION, CROWD_GROUP and CROWD_DOMAIN name a domain with more sender usernames than a page holds.
// Prints what was asked and answered, and the names of the crowd, as one line of JSON; an answer that is not right is an error.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { CommunicationServiceManagementClient } from "@azure/arm-communication";

const { POSTRIDER_ENDPOINT: endpoint, POSTRIDER_ADMIN_TOKEN: token, AZURE_SUBSCRIPTION_ID: subscription } = process.env;
const [group, domain] = process.argv.slice(2);
const provider = "Microsoft.Communication";
const mail = "mail";
const app = "app";
const managed = "AzureManagedDomain";
const tags = { team: "post", Größe: "klein" };
const base = `/subscriptions/${subscription}/resourceGroups/${group}/providers/${provider}`;

const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3600e3 }) };
const seen = [];

function clientOf(subscriptionId) {
  const client = new CommunicationServiceManagementClient(credential, subscriptionId, { endpoint });
  client.pipeline.addPolicy({
    name: "seen",
    async sendRequest(request, next) {
      const response = await next(request);
      seen.push([request.method, request.url, response.status]);
      return response;
    },
  });
  return client;
}

const client = clientOf(subscription);
const { communicationServices, domains, emailServices, senderUsernames, smtpUsernames } = client;
const { suppressionLists, suppressionListAddresses } = client;

async function all(pages, name = (each) => each.name) {
  const found = [];
  for await (const each of pages) found.push(name(each));
  return found;
}

async function twice(make) {
  await make();
  return make();
}

function check(resource, path, kind) {
  assert.equal(resource.id, `${base}/${path}`);
  assert.equal(resource.name, path.slice(path.lastIndexOf("/") + 1));
  assert.equal(resource.type, `${provider}/${kind}`);
  assert.equal(resource.systemData.createdByType, "Key");
  assert.ok(resource.systemData.createdAt instanceof Date);
}

async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return [error.name, error.statusCode, error.code];
  }
  return assert.fail("nothing was refused");
}

// Around the resources
assert.ok((await all(client.operations.list())).includes(`${provider}/emailServices/domains/write`));
const asked = { name: app, type: `${provider}/CommunicationServices` };
assert.equal((await communicationServices.checkNameAvailability(asked)).nameAvailable, true);
assert.deepEqual([...(await emailServices.listVerifiedExchangeOnlineDomains())], []);

// An email service
let made = await twice(() =>
  emailServices.beginCreateOrUpdateAndWait(group, mail, { location: "Global", dataLocation: "Europe", tags }),
);
check(made, `emailServices/${mail}`, "emailServices");
assert.deepEqual([made.location, made.tags, made.dataLocation, made.provisioningState], ["global", tags, "Europe", "Succeeded"]);
assert.deepEqual((await emailServices.beginUpdateAndWait(group, mail, { tags: { team: "x" } })).tags, { team: "x" });
assert.deepEqual((await emailServices.get(group, mail)).tags, { team: "x" });
assert.deepEqual(await all(emailServices.listByResourceGroup(group)), [mail]);
assert.deepEqual(await all(emailServices.listBySubscription()), [mail]);

// Its domains
made = await twice(() =>
  domains.beginCreateOrUpdateAndWait(group, mail, domain, { location: "global", domainManagement: "CustomerManaged" }),
);
check(made, `emailServices/${mail}/domains/${domain}`, "emailServices/domains");
assert.equal(made.fromSenderDomain, domain);
assert.deepEqual(Object.keys(made.verificationRecords).sort(), ["dkim", "dkim2", "dmarc", "domain", "spf"]);
assert.equal(made.verificationRecords.domain.ttl, 3600);
assert.equal(made.verificationStates.dkim2.status, "NotStarted");
made = await domains.beginUpdateAndWait(group, mail, domain, { userEngagementTracking: "Enabled" });
assert.equal(made.userEngagementTracking, "Enabled");
const given = { location: "global", domainManagement: "AzureManaged" };
const ready = await domains.beginCreateOrUpdateAndWait(group, mail, managed, given);
assert.equal(ready.verificationStates.domain.status, "Verified");
assert.deepEqual((await all(domains.listByEmailServiceResource(group, mail))).sort(), [managed, domain]);

// Verification
const status = async () => (await domains.get(group, mail, domain)).verificationStates.domain.status;
await domains.beginInitiateVerificationAndWait(group, mail, domain, { verificationType: "Domain" });
assert.ok(["VerificationRequested", "VerificationInProgress"].includes(await status()));
await domains.beginCancelVerificationAndWait(group, mail, domain, { verificationType: "Domain" });
for (let looks = 0; (await status()) !== "NotStarted"; looks++) {
  assert.ok(looks < 400, "the verification does not end");
  await setTimeout(50);
}

// Sender usernames
const at = [group, mail, domain];
made = await twice(() => senderUsernames.createOrUpdate(...at, "news", { username: "news", displayName: "Die Größten" }));
check(made, `emailServices/${mail}/domains/${domain}/senderUsernames/news`, "emailServices/domains/senderUsernames");
assert.equal((await senderUsernames.get(...at, "news")).displayName, "Die Größten");
assert.deepEqual(await all(senderUsernames.listByDomains(...at)), ["DoNotReply", "news"]);
await twice(() => senderUsernames.delete(...at, "news"));

// Suppression
made = await twice(() => suppressionLists.createOrUpdate(...at, "quiet", { listName: "" }));
check(made, `emailServices/${mail}/domains/${domain}/suppressionLists/quiet`, "emailServices/domains/suppressionLists");
assert.equal((await suppressionLists.get(...at, "quiet")).listName, "");
assert.deepEqual(await all(suppressionLists.listByDomain(...at)), ["quiet"]);
const id = randomUUID();
const ann = { email: "ann@fabrikam.example", firstName: "Ann", lastName: "Ångström", notes: "asked" };
made = await twice(() => suppressionListAddresses.createOrUpdate(...at, "quiet", id, ann));
assert.deepEqual([made.name, made.lastName, made.lastModified instanceof Date], [id, "Ångström", true]);
assert.equal((await suppressionListAddresses.get(...at, "quiet", id)).email, ann.email);
assert.deepEqual(await all(suppressionListAddresses.list(...at, "quiet"), (each) => each.email), [ann.email]);
await twice(() => suppressionListAddresses.delete(...at, "quiet", id));
await twice(() => suppressionLists.delete(...at, "quiet"));

// A communication service
const wanted = { location: "global", dataLocation: "Europe", tags, identity: { type: "SystemAssigned" } };
made = await twice(() => communicationServices.beginCreateOrUpdateAndWait(group, app, wanted));
check(made, `communicationServices/${app}`, "communicationServices");
assert.deepEqual([made.publicNetworkAccess, made.disableLocalAuth, made.identity.type], ["Enabled", false, "SystemAssigned"]);
made = await communicationServices.update(group, app, { linkedDomains: [ready.id] });
assert.deepEqual([made.linkedDomains, made.tags], [[ready.id], tags]);
assert.deepEqual((await communicationServices.get(group, app)).linkedDomains, [ready.id]);
assert.deepEqual(await all(communicationServices.listByResourceGroup(group)), [app]);
assert.deepEqual(await all(communicationServices.listBySubscription()), [app]);
const hub = { resourceId: `${base}/hub`, connectionString: "Endpoint=sb://n/" };
const linked = await communicationServices.linkNotificationHub(group, app, { linkNotificationHubParameters: hub });
assert.equal(linked.resourceId, hub.resourceId);
const before = await communicationServices.listKeys(group, app);
const after = await communicationServices.regenerateKey(group, app, { keyType: "Secondary" });
assert.notEqual(after.secondaryKey, before.secondaryKey);
assert.equal(after.primaryConnectionString, before.primaryConnectionString);

// SMTP usernames
const printer = { username: `u-${id.slice(0, 8)}`, entraApplicationId: randomUUID(), tenantId: randomUUID() };
made = await twice(() => smtpUsernames.createOrUpdate(group, app, "printer", printer));
check(made, `communicationServices/${app}/smtpUsernames/printer`, "communicationServices/smtpUsernames");
assert.equal((await smtpUsernames.get(group, app, "printer")).username, printer.username);
assert.deepEqual(await all(smtpUsernames.list(group, app)), ["printer"]);
await twice(() => smtpUsernames.delete(group, app, "printer"));

// The end of all
const whileLinked = await refusal(domains.beginDeleteAndWait(group, mail, managed));
assert.deepEqual(whileLinked, ["RestError", 409, "DomainLinked"]);
await Promise.all([
  twice(() => communicationServices.beginDeleteAndWait(group, app)),
  twice(() => domains.beginDeleteAndWait(group, mail, domain)),
]);
await twice(() => emailServices.beginDeleteAndWait(group, mail));
assert.deepEqual(await refusal(emailServices.get(group, mail)), ["RestError", 404, "ResourceNotFound"]);

// A list of several pages
const { CROWD_SUBSCRIPTION, CROWD_GROUP, CROWD_DOMAIN } = process.env;
const crowd = await all(clientOf(CROWD_SUBSCRIPTION).senderUsernames.listByDomains(CROWD_GROUP, mail, CROWD_DOMAIN));

console.log(JSON.stringify({ seen, crowd }));
