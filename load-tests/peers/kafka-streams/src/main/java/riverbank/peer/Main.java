package riverbank.peer;

import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.avro.Schema;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** The program: runs the topology until SIGTERM (then exit code 0) or an error (1). A wrong command line: 2. */
public final class Main {
    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(30);

    private Main() {}

    public static void main(String[] args) throws InterruptedException {
        // Before the first logger is made: warnings and errors only, on standard error.
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn");
        Options options;
        Schema envelopes;
        try {
            options = Options.parse(args);
            envelopes = new Schema.Parser().parse(Files.readString(options.schemaFile()));
            // Found unfit now rather than by a stream thread.
            new EnvelopeReader(envelopes);
        } catch (IllegalArgumentException | IOException | org.apache.avro.AvroRuntimeException error) {
            System.err.println("error: " + error.getMessage() + "\nusage: " + Options.USAGE);
            System.exit(2);
            return;
        }
        run(options, envelopes);
    }

    private static void run(Options options, Schema envelopes) throws InterruptedException {
        KafkaStreams streams = new KafkaStreams(BalanceTopology.of(options, envelopes), Settings.of(options));
        Events events = new Events();
        CountDownLatch ended = new CountDownLatch(1);
        AtomicInteger status = new AtomicInteger();
        streams.setStateListener((to, from) -> {
            events.onChange(to, from);
            if (to == KafkaStreams.State.NOT_RUNNING || to == KafkaStreams.State.ERROR) {
                ended.countDown();
            }
        });
        streams.setGlobalStateRestoreListener(events);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            status.set(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        // Java would report SIGTERM as exit code 143; a clean close is a success.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            if (!streams.close(CLOSE_LIMIT)) {
                System.err.println("error: not closed within " + CLOSE_LIMIT.toSeconds() + " s");
                status.set(1);
            }
            System.out.flush();
            Runtime.getRuntime().halt(status.get());
        }, "close"));
        streams.start();
        ended.await();
        System.exit(status.get());
    }
}
