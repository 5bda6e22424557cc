package riverbank.peer;

import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.streams.StreamsConfig;

/**
 * Kafka Streams' settings: those that the task asks for, then what makes it faster. All else is at its default: larger
 * polls, fetches, record buffers and producer batches were tried, and gained nothing beyond the noise.
 */
final class Settings {
    private Settings() {}

    static Properties of(Options options) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.applicationId());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.brokers());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, options.stateDir().toString());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, options.threads());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.commitIntervalMs());
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, options.cacheBytes());
        // As it comes, state is wiped after an unclean stop; with this it is kept, as here. By name: older versions lack the constant.
        settings.put("enable.transactional.statestores", options.transactionalStores());
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");

        // A process that was killed comes back under its old membership at once, instead of waiting until the old
        // session ends. The state's folder names the process: no two processes can share it.
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), instance(options));
        return settings;
    }

    private static String instance(Options options) {
        String folder = options.stateDir().toAbsolutePath().normalize().toString();
        return UUID.nameUUIDFromBytes(folder.getBytes(StandardCharsets.UTF_8)).toString();
    }
}
