package riverbank.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.LongSerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.ValueAndTimestamp;
import org.apache.kafka.streams.state.VersionedKeyValueStore;
import org.apache.kafka.streams.state.VersionedRecord;
import org.apache.kafka.streams.test.TestRecord;

/** Runs a case and adds {@code outputs} and {@code stores} to it. */
final class Run {
    /** Where the wall clock stands at the beginning, as in the engine's own test driver. */
    private static final Instant START = Instant.ofEpochMilli(1_700_000_000_000L);

    private static final AtomicLong COUNT = new AtomicLong();
    private static final String STATE = stateFolder();

    private Run() {}

    static void of(ObjectNode test) {
        ObjectNode outputs = test.objectNode();
        Case built = new Case(test.get("nodes"), (node, pair) -> outputs.withArray("peek:" + node).add(pair.addNull()));
        String application = "oracle" + COUNT.incrementAndGet();
        ObjectNode stores = test.objectNode();
        try (TopologyTestDriver driver = new TopologyTestDriver(built.builder.build(), settings(application), START)) {
            for (JsonNode input : test.get("inputs")) {
                feed(driver, input);
            }
            for (String topic : driver.producedTopicNames()) {
                // Repartition topics and changelogs have the application's name in front.
                if (!topic.startsWith(application + "-")) {
                    read(driver, topic, outputs.withArray(topic));
                }
            }
            for (JsonNode node : test.get("nodes")) {
                if (node.has("store")) {
                    String name = node.get("store").textValue();
                    contents(driver, test, node, name, stores.putArray(name));
                }
            }
        }
        test.set("outputs", outputs);
        test.set("stores", stores);
    }

    private static Properties settings(String application) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        settings.put(StreamsConfig.STATE_DIR_CONFIG, STATE);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.LongSerde.class);
        // No record caches: each update of a table goes on.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        settings.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        return settings;
    }

    private static void feed(TopologyTestDriver driver, JsonNode input) {
        if (input.size() == 1) {
            driver.advanceWallClockTime(Duration.ofMillis(input.get(0).longValue()));
            return;
        }
        Long value = input.get(2).isNull() ? null : input.get(2).longValue();
        driver.createInputTopic(input.get(0).textValue(), new StringSerializer(), new LongSerializer())
                .pipeInput(new TestRecord<>(input.get(1).textValue(), value, null, input.get(3).longValue()));
    }

    private static void read(TopologyTestDriver driver, String topic, ArrayNode to) {
        for (TestRecord<String, Long> record : driver.createOutputTopic(topic, new StringDeserializer(), new LongDeserializer())
                .readRecordsToList()) {
            to.addArray().add(record.key()).add(record.value()).add(record.timestamp());
        }
    }

    private static void contents(TopologyTestDriver driver, JsonNode test, JsonNode node, String name, ArrayNode to) {
        if (node.has("versioned")) {
            versions(driver.getVersionedKeyValueStore(name), test.get("inputs"), to);
        } else if (node.get("op").textValue().equals("process")) {
            KeyValueStore<String, Long> store = driver.getKeyValueStore(name);
            try (KeyValueIterator<String, Long> all = store.all()) {
                while (all.hasNext()) {
                    KeyValue<String, Long> next = all.next();
                    to.addArray().add(next.key).add(next.value).addNull();
                }
            }
        } else {
            KeyValueStore<String, ValueAndTimestamp<Long>> store = driver.getTimestampedKeyValueStore(name);
            try (KeyValueIterator<String, ValueAndTimestamp<Long>> all = store.all()) {
                while (all.hasNext()) {
                    KeyValue<String, ValueAndTimestamp<Long>> next = all.next();
                    to.addArray().add(next.key).add(next.value.value()).add(next.value.timestamp());
                }
            }
        }
    }

    /**
     * Every version that can still be asked for. A versioned store lists neither its keys nor its versions here, so each key that the
     * case can have is asked for as of each instant that it can have.
     */
    private static void versions(VersionedKeyValueStore<String, Long> store, JsonNode inputs, ArrayNode to) {
        TreeSet<String> keys = new TreeSet<>();
        keys.add("k");
        TreeSet<Long> instants = new TreeSet<>();
        for (int i = 0; i < 32; i++) {
            keys.add("k" + i);
        }
        for (JsonNode input : inputs) {
            if (input.size() > 1) {
                if (!input.get(1).isNull()) {
                    keys.add(input.get(1).textValue());
                }
                instants.add(input.get(3).longValue());
            }
        }
        for (String key : keys) {
            VersionedRecord<Long> before = null;
            for (long instant : instants) {
                VersionedRecord<Long> version = store.get(key, instant);
                if (version != null && (before == null || version.timestamp() != before.timestamp())) {
                    to.addArray().add(key).add(version.value()).add(version.timestamp());
                }
                before = version == null ? before : version;
            }
        }
    }

    private static String stateFolder() {
        try {
            String folder = Files.createTempDirectory("riverbank-oracle-").toString();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(new java.io.File(folder))));
            return folder;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static void delete(java.io.File file) {
        java.io.File[] inside = file.listFiles();
        if (inside != null) {
            for (java.io.File each : inside) {
                delete(each);
            }
        }
        if (!file.delete()) {
            file.deleteOnExit();
        }
    }
}
