using Azure;
using Azure.Communication.Email;

static string Setting(string name) =>
    Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");

const string Stamp =
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAMAQMAAABRKa/CAAAABlBMVEX///8eWqDV+EsyAAAAIUlEQVR42mP4/5/hADPDAlaGCZwMPYYMzQcZGhhR0P//" +
    "AMdxCoQ1iOIzAAAAAElFTkSuQmCC";

var content = new EmailContent("Hello from Postrider")
{
    PlainText = "A mail with text, HTML, an attachment and an inline image.",
    Html = "<p><img src=\"cid:stamp\" alt=\"\"> A mail with <b>HTML</b>, an attachment and an inline image.</p>",
};
var recipients = new EmailRecipients(new[] { new EmailAddress(Setting("RECIPIENT_ADDRESS"), "A Reader") });
var message = new EmailMessage(Setting("SENDER_ADDRESS"), recipients, content);
message.Attachments.Add(
    new EmailAttachment("list.csv", "text/csv", BinaryData.FromString("stage,horses\r\n1,4\r\n")));
message.Attachments.Add(
    new EmailAttachment("stamp.png", "image/png", BinaryData.FromBytes(Convert.FromBase64String(Stamp)))
    {
        ContentId = "stamp",
    });

var client = new EmailClient(Setting("COMMUNICATION_CONNECTION_STRING_EMAIL"));
EmailSendOperation operation = await client.SendAsync(WaitUntil.Completed, message);
Console.WriteLine($"{operation.Id} {operation.Value.Status}");
