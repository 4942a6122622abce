import com.azure.communication.email.EmailClient;
import com.azure.communication.email.EmailClientBuilder;
import com.azure.communication.email.models.EmailAddress;
import com.azure.communication.email.models.EmailAttachment;
import com.azure.communication.email.models.EmailMessage;
import com.azure.communication.email.models.EmailSendResult;
import com.azure.core.util.BinaryData;
import java.util.Base64;

public class Send {
    private static final String STAMP =
        "iVBORw0KGgoAAAANSUhEUgAAABAAAAAMAQMAAABRKa/CAAAABlBMVEX///8eWqDV+EsyAAAAIUlEQVR42mP4/5/hADPDAlaGCZwMPYYMzQcZGhhR0P//"
            + "AMdxCoQ1iOIzAAAAAElFTkSuQmCC";

    public static void main(String[] arguments) {
        EmailMessage message = new EmailMessage()
            .setSenderAddress(System.getenv("SENDER_ADDRESS"))
            .setToRecipients(new EmailAddress(System.getenv("RECIPIENT_ADDRESS")).setDisplayName("A Reader"))
            .setSubject("Hello from Postrider")
            .setBodyPlainText("A mail with text, HTML, an attachment and an inline image.")
            .setBodyHtml("<p><img src=\"cid:stamp\" alt=\"\"> A mail with <b>HTML</b>, an attachment and an inline image.</p>")
            .setAttachments(
                new EmailAttachment("list.csv", "text/csv", BinaryData.fromString("stage,horses\r\n1,4\r\n")),
                new EmailAttachment("stamp.png", "image/png", BinaryData.fromBytes(Base64.getDecoder().decode(STAMP)))
                    .setContentId("stamp"));

        EmailClient client = new EmailClientBuilder()
            .connectionString(System.getenv("COMMUNICATION_CONNECTION_STRING_EMAIL"))
            .buildClient();
        EmailSendResult result = client.beginSend(message).getFinalResult();
        System.out.println(result.getId() + " " + result.getStatus());
    }
}
