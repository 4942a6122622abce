// Sends the letter of the file in LETTER (see smtp_clients.py) with nodemailer, by what the environment says, and prints the
// server's reply. An error is printed as nodemailer tells it, with exit status 1.
import { readFileSync } from "node:fs";
import nodemailer from "nodemailer";

const { LETTER, SMTP_HOST, SMTP_PORT, SMTP_TLS_PORT, SMTP_USERNAME, SMTP_PASSWORD, SENDER_ADDRESS, IMPLICIT_TLS } = process.env;
const letter = JSON.parse(readFileSync(LETTER));

const transport = nodemailer.createTransport({
  host: SMTP_HOST,
  port: Number(IMPLICIT_TLS ? SMTP_TLS_PORT : SMTP_PORT),
  secure: Boolean(IMPLICIT_TLS),
  requireTLS: true,
  auth: { user: SMTP_USERNAME, pass: SMTP_PASSWORD },
});
try {
  const sent = await transport.sendMail({
    from: { name: "Zoë", address: SENDER_ADDRESS },
    to: [letter.to, letter.international],
    bcc: letter.hidden,
    subject: letter.subject,
    text: letter.text,
    html: letter.html,
    attachments: [{ filename: letter.name, content: letter.attached }],
  });
  console.log(sent.response);
} catch (error) {
  console.error(`${error.code} ${error.responseCode}: ${error.response}`);
  process.exitCode = 1;
}
