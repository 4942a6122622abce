// Sends a mail by SMTP with nodemailer.
import nodemailer from "nodemailer";

const { SMTP_HOST, SMTP_PORT, SMTP_USERNAME, SMTP_PASSWORD, SENDER_ADDRESS, RECIPIENT_ADDRESS } = process.env;

const transport = nodemailer.createTransport({
  host: SMTP_HOST,
  port: Number(SMTP_PORT),
  secure: false, // true for the port with TLS from the first octet
  requireTLS: true,
  auth: { user: SMTP_USERNAME, pass: SMTP_PASSWORD },
});
const sent = await transport.sendMail({
  from: SENDER_ADDRESS,
  to: RECIPIENT_ADDRESS,
  subject: "Hello from Postrider",
  text: "A mail with text, HTML and an attachment.",
  html: "<p>A mail with text, <b>HTML</b> and an attachment.</p>",
  attachments: [{ filename: "list.csv", content: "stage,horses\n1,4\n" }],
});
console.log(sent.response); // 250 2.0.0 Ok: queued as ID
