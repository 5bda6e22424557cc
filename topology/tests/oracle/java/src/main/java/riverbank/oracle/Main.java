package riverbank.oracle;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;

/**
 * Reads cases from standard input, one JSON object a line, and writes each back with what Kafka Streams makes of it: its outputs
 * and the final contents of its stores, or the reason why Kafka Streams refuses it.
 */
public final class Main {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Main() {}

    public static void main(String[] args) throws IOException {
        // Before the first logger is made. Kafka Streams warns of every record with a null key.
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "off");
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
                BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8))) {
            in.lines().parallel().map(Main::answer).forEachOrdered(line -> write(out, line));
        }
    }

    private static String answer(String line) {
        try {
            ObjectNode test = (ObjectNode) JSON.readTree(line);
            test.remove(java.util.List.of("refused", "outputs", "stores"));
            try {
                Run.of(test);
            } catch (RuntimeException refused) {
                Throwable cause = refused;
                while (cause.getCause() != null) {
                    cause = cause.getCause();
                }
                test.put("refused", cause.toString());
            }
            return JSON.writeValueAsString(test);
        } catch (JsonProcessingException broken) {
            throw new UncheckedIOException(broken);
        }
    }

    private static void write(BufferedWriter out, String line) {
        try {
            out.write(line);
            out.newLine();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
