// Composes messages with nodemailer: node compose_nodemailer.mjs; see bench/program.py for what it reads and answers.

import MailComposer from "nodemailer/lib/mail-composer/index.js";

import { serve } from "./tasks.mjs";

function compose(held) {
  const mail = new MailComposer({
    from: held.from,
    to: held.to,
    subject: held.subject,
    date: new Date(held.date * 1000),
    messageId: held.messageId,
    text: held.text,
    html: held.html,
    attachments: held.attachments.map((file) => ({
      filename: file.name,
      contentType: file.contentType,
      content: file.contentInBase64,
      encoding: "base64",
    })),
  });
  return mail.compile().build();
}

await serve(
  (request) => {
    const held = JSON.parse(request);
    return () => compose(held);
  },
  (message) => String(message.length),
);
