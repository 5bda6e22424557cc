package riverbank.peer;

import java.util.Map;
import org.apache.avro.Schema;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Change envelopes → signed postings, by account → running balances → every update to the output. */
final class BalanceTopology {
    private BalanceTopology() {}

    static Topology of(Options options, Schema envelopes) {
        Serde<Long> account = Serdes.Long();
        Serde<Posting> posting = Posting.serde();
        Serde<Balance> balance = Balance.serde();

        Materialized<Long, Balance, KeyValueStore<Bytes, byte[]>> balances =
                Materialized.<Long, Balance, KeyValueStore<Bytes, byte[]>>as("balances")
                        .withKeySerde(account).withValueSerde(balance).withLoggingEnabled(Map.of());
        balances = options.cacheBytes() > 0 ? balances.withCachingEnabled() : balances.withCachingDisabled();

        StreamsBuilder builder = new StreamsBuilder();
        // The input stays bytes until the processor: a source decodes records ahead of their turn, one for each
        // partition, and could not reuse them.
        builder.stream(options.input(), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .process(() -> new Postings(envelopes))
                .repartition(Repartitioned.<Long, Posting>as("postings")
                        .withKeySerde(account).withValueSerde(posting).withNumberOfPartitions(options.partitions()))
                .groupByKey(Grouped.with(account, posting))
                .aggregate(() -> Balance.NONE, (id, next, sum) -> sum.plus(next), balances)
                .toStream()
                .to(options.output(), Produced.with(account, balance));
        // topology.optimization stays off: nothing here can be merged or reused by it.
        return builder.build();
    }

    /** A flatMap without its lists. */
    private static final class Postings implements Processor<byte[], byte[], Long, Posting> {
        private final EnvelopeReader reader;
        private ProcessorContext<Long, Posting> context;

        Postings(Schema envelopes) {
            reader = new EnvelopeReader(envelopes);
        }

        @Override
        public void init(ProcessorContext<Long, Posting> context) {
            this.context = context;
        }

        @Override
        public void process(Record<byte[], byte[]> change) {
            // A tombstone follows a deletion, whose own envelope has said all.
            if (change.value() == null) {
                return;
            }
            reader.read(change.value());
            forward(reader.takenBack(), change.timestamp());
            forward(reader.said(), change.timestamp());
        }

        private void forward(Posting posting, long timestamp) {
            if (posting != null) {
                context.forward(new Record<>(posting.accountId(), posting, timestamp));
            }
        }
    }
}
