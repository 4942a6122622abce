// Reads messages the way a mail program in JavaScript would, with libmime, libqp, libbase64 and nodemailer's address parser.
// node read_mail.mjs < JSON array of messages in base64 > JSON array of what each one says

import { json } from "node:stream/consumers";
import libbase64 from "libbase64";
import libmime from "libmime";
import libqp from "libqp";
import * as addressParser from "nodemailer/lib/addressparser";

const parseAddresses = addressParser.default.default ?? addressParser.default;

const decoders = { "quoted-printable": libqp.decode, base64: libbase64.decode };

function read(source) {
  const end = source.indexOf("\r\n\r\n");
  const headers = libmime.decodeHeaders(source.slice(0, end));
  const body = source.slice(end + 4);
  const type = libmime.parseHeaderValue(headers["content-type"][0]);
  const disposition = libmime.parseHeaderValue(headers["content-disposition"]?.[0] ?? "");
  const entity = { type: type.value, disposition: disposition.value, contentId: headers["content-id"]?.[0] ?? "" };
  if (disposition.params?.filename !== undefined) entity.name = libmime.decodeWords(disposition.params.filename);
  if (type.value.startsWith("multipart/")) {
    const parts = `\r\n${body}`.split(`\r\n--${type.params.boundary}`);
    entity.epilogue = parts.pop();
    entity.parts = parts.slice(1).map((part) => read(part.slice(2)));
  } else {
    const decode = decoders[headers["content-transfer-encoding"][0]] ?? ((text) => Buffer.from(text, "latin1"));
    entity.content = decode(body).toString("base64");
  }
  entity.subject = libmime.decodeWords(headers.subject?.[0] ?? "");
  for (const field of ["from", "to", "cc", "reply-to"]) {
    entity[field] = parseAddresses(Buffer.from(headers[field]?.[0] ?? "", "latin1").toString())
      .filter(({ address }) => address)
      .map(({ name, address }) => [libmime.decodeWords(name), address]);
  }
  return entity;
}

const messages = await json(process.stdin);
process.stdout.write(JSON.stringify(messages.map((message) => read(Buffer.from(message, "base64").toString("latin1")))));
