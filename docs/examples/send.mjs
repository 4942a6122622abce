import { EmailClient } from "@azure/communication-email";

const { COMMUNICATION_CONNECTION_STRING_EMAIL, SENDER_ADDRESS, RECIPIENT_ADDRESS } = process.env;
const stamp =
  "iVBORw0KGgoAAAANSUhEUgAAABAAAAAMAQMAAABRKa/CAAAABlBMVEX///8eWqDV+EsyAAAAIUlEQVR42mP4/5/hADPDAlaGCZwMPYYMzQcZGhhR0P//" +
  "AMdxCoQ1iOIzAAAAAElFTkSuQmCC";

const message = {
  senderAddress: SENDER_ADDRESS,
  recipients: { to: [{ address: RECIPIENT_ADDRESS, displayName: "A Reader" }] },
  content: {
    subject: "Hello from Postrider",
    plainText: "A mail with text, HTML, an attachment and an inline image.",
    html: '<p><img src="cid:stamp" alt=""> A mail with <b>HTML</b>, an attachment and an inline image.</p>',
  },
  attachments: [
    {
      name: "list.csv",
      contentType: "text/csv",
      contentInBase64: Buffer.from("stage,horses\r\n1,4\r\n").toString("base64"),
    },
    { name: "stamp.png", contentType: "image/png", contentInBase64: stamp, contentId: "stamp" },
  ],
};

const client = new EmailClient(COMMUNICATION_CONNECTION_STRING_EMAIL);
const poller = await client.beginSend(message);
const result = await poller.pollUntilDone();
console.log(result.id, result.status);
