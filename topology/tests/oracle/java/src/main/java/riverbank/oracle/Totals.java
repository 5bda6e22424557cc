package riverbank.oracle;

import java.time.Duration;
import java.util.Set;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The Processor API's case: sums values by key in a key-value store and forwards each sum; a null value deletes the key. Every so
 * often by the wall clock, all sums are forwarded in the order of their keys.
 */
record Totals(String store, Duration every) implements ProcessorSupplier<String, Long, String, Long> {
    @Override
    public Set<StoreBuilder<?>> stores() {
        return Set.of(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(store), Serdes.String(), Serdes.Long()));
    }

    @Override
    public Processor<String, Long, String, Long> get() {
        return new Processor<>() {
            private ProcessorContext<String, Long> context;
            private KeyValueStore<String, Long> totals;

            @Override
            public void init(ProcessorContext<String, Long> context) {
                this.context = context;
                totals = context.getStateStore(store);
                context.schedule(every, PunctuationType.WALL_CLOCK_TIME, this::forwardAll);
            }

            @Override
            public void process(Record<String, Long> record) {
                if (record.key() == null) {
                    return;
                }
                Long sum = null;
                if (record.value() != null) {
                    Long before = totals.get(record.key());
                    sum = (before == null ? 0 : before) + record.value();
                }
                totals.put(record.key(), sum);
                context.forward(record.withValue(sum));
            }

            private void forwardAll(long nowMs) {
                try (KeyValueIterator<String, Long> all = totals.all()) {
                    while (all.hasNext()) {
                        KeyValue<String, Long> next = all.next();
                        context.forward(new Record<>(next.key, next.value, nowMs));
                    }
                }
            }
        };
    }
}
