// Loaded before Azurite (node --require): its queue service collects garbage each minute, with no option for it, and once it has
// seen tens of thousands of items that takes all of its one thread for half a minute. A long run does without.
const { default: Collector } = require("azurite/dist/src/queue/gc/QueueGCManager");

Collector.prototype.start = async function () {};
