// A program as a customer has it: the official JavaScript client, a connection string, one message with everything in it.
// COMMUNICATION_CONNECTION_STRING_EMAIL, SENDER_ADDRESS and RECIPIENT_ADDRESS come from the environment.
// Prints the result of the operation as one line of JSON; the exit status is 0 when it succeeded.

import { EmailClient, KnownEmailSendStatus } from "@azure/communication-email";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const client = new EmailClient(process.env.COMMUNICATION_CONNECTION_STRING_EMAIL);

const poller = await client.beginSend({
  senderAddress: process.env.SENDER_ADDRESS,
  recipients: { to: [{ address: process.env.RECIPIENT_ADDRESS, displayName: "Jörg 受信者" }] },
  content: {
    subject: "From the JavaScript client: ✓ größer",
    plainText: "Plain text from the JavaScript client.",
    html: '<html><body><h1>Hello</h1><img src="cid:pixel" alt=""></body></html>',
  },
  replyTo: [{ address: process.env.SENDER_ADDRESS, displayName: "Answers" }],
  headers: { "X-Program": "send_with_sdk" },
  attachments: [
    { name: "note.txt", contentType: "text/plain", contentInBase64: Buffer.from("An attached note.\n").toString("base64") },
    { name: "pixel.png", contentType: "image/png", contentInBase64: PIXEL, contentId: "pixel" },
  ],
  disableUserEngagementTracking: true,
});

const result = await poller.pollUntilDone();
console.log(JSON.stringify(result));
process.exitCode = result.status === KnownEmailSendStatus.Succeeded ? 0 : 1;
